# make demo [MODEL=lite] [VIDEO=clip.mp4 BOX=x,y,w,h] [OUT=out/demo]   set everything up and track a clip over ROS 2
# make test [ARGS="-k node"]                                            set everything up and pass the tests
# make build | check | clean                                            tools/setup.sh tells the variables

MODEL ?= lite
OUT ?= out/demo

demo: build
	@. tools/env.sh && python -m sot_tracker demo --model "$(MODEL)" --out "$(OUT)" \
		$(if $(VIDEO),--video "$(VIDEO)") $(if $(BOX),--box "$(BOX)") $(ARGS)

# One thread each: the two processes' threads would wait for each other by spinning, and the suite take a third longer.
test:
	@tools/setup.sh test
	@. tools/env.sh && OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile $(ARGS)

check:
	@tools/setup.sh test
	@. tools/env.sh && ruff check . && ruff format --check . && mypy

build:
	@tools/setup.sh run

clean:
	rm -rf .venv build install log out *.egg-info

.PHONY: demo test check build clean
