# Talaria's build. `make` alone prints what there is; the two commands that matter are `make run` and `make test`.
#
# One static library a layer (scripts/layers.txt says which may use which), a unit-test program a layer that links only
# what that layer may use, and the programs. Everything made lands in build/, or in build-<sanitizers> with SANITIZE=....

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules

CXX := $(if $(filter default,$(origin CXX)),g++,$(CXX))
# Debian's clang 14 refuses std::expected of anything with a destructor; its clang 16, beside it, does not.
override CXX := $(if $(filter clang++,$(CXX)),$(firstword $(shell command -v clang++-16) clang++),$(CXX))
SANITIZE ?=
# PROFILE=1: optimized across files (LTO), by what was counted while the programs of PROFILE=train did the walk of a message.
PROFILE ?=
comma := ,
B := build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))$(if $(PROFILE),-profile$(filter-out 1,$(PROFILE)))$(if $(findstring clang,$(CXX)),-clang)

WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Werror
# clang 16 implements what libstdc++ 12's <expected> asks for, but announces an older __cpp_concepts.
CLANG_FLAGS := $(if $(findstring clang,$(CXX)),-Wno-builtin-macro-redefined -Wno-macro-redefined -D__cpp_concepts=202002L)
ifneq ($(filter-out train 1,$(PROFILE))$(if $(PROFILE),$(SANITIZE)$(findstring clang,$(CXX))),)
$(error PROFILE is 1 or train, with g++ and without SANITIZE)
endif
# The datapath alone; what of it the training did not come by is optimized as ever.
PROFILE_FLAGS_train := -fprofile-generate -fprofile-update=prefer-atomic
PROFILE_FLAGS_1 = -flto=auto -fprofile-use=build-profiletrain/$*.gcda -fprofile-partial-training -Wno-missing-profile
profile_flags = $(if $(filter core/% dpdk-app/%,$<),$(PROFILE_FLAGS_$(PROFILE)))
PROFILE_LDFLAGS_train := -fprofile-generate
PROFILE_LDFLAGS_1 := -flto=auto -O2
AR := $(if $(filter 1,$(PROFILE)),gcc-ar,ar)
CXXFLAGS_ALL := -std=c++2b -O2 -g $(WARNINGS) -I. -MMD -MP -pthread -march=x86-64-v2 -fno-omit-frame-pointer $(CLANG_FLAGS) \
  $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all) $(CXXFLAGS)
LDFLAGS_ALL := -pthread $(PROFILE_LDFLAGS_$(PROFILE)) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)

# ---- layers ---------------------------------------------------------------------------------------------------------
LAYERS := $(shell sed -n 's/^\([a-z][^:]*\):.*/\1/p' scripts/layers.txt)
CORE_LAYERS := $(filter core/%,$(LAYERS))
may_use = $(shell sed -n 's|^$(1):||p' scripts/layers.txt)
lib = $(B)/lib/lib$(subst /,_,$(1)).a
libs = $(call lib,$(1)) $(foreach l,$(call may_use,$(1)),$(call lib,$(l)))

# A layer's own sources; a program's main stands in a file of its own, which goes into no library.
MAINS := dpdk-app/main.cc dpdk-app/talaria_load.cc control/talariactl.cc tests/conformance/main.cc
sources = $(filter-out $(MAINS),$(wildcard $(1)/*.cc))
objects = $(patsubst %.cc,$(B)/%.o,$(call sources,$(1)))

# DPDK's inline functions copy pointers as integers (rte_ring), which strict aliasing lets a compiler reorder; clang does.
DPDK_CFLAGS = $(shell pkg-config --cflags libdpdk 2>/dev/null | sed 's/-I/-isystem /g') -fno-strict-aliasing
DPDK_LIBS = $(shell pkg-config --libs libdpdk 2>/dev/null) -lpcap
CONTROL_LIBS := -lsqlite3 -lcrypto -lpcre2-8 -lspdlog -lfmt

# The core and the datapath are built without exceptions; the control plane and the tests may throw.
$(B)/core/%.o: EXTRA := -fno-exceptions
$(B)/dpdk-app/%.o: EXTRA = -fno-exceptions $(DPDK_CFLAGS) -DSPDLOG_FMT_EXTERNAL -DSPDLOG_COMPILED_LIB -DALLOW_EXPERIMENTAL_API
$(B)/control/%.o: EXTRA := -DSPDLOG_FMT_EXTERNAL -DSPDLOG_COMPILED_LIB
# Where libraries that throw are used: command line, log, control thread.
$(patsubst %,$(B)/dpdk-app/%.o,main options log control_thread talaria_load load_options load_broker): EXTRA = $(DPDK_CFLAGS) -DSPDLOG_FMT_EXTERNAL -DSPDLOG_COMPILED_LIB
# Most of a test's compile time is the optimizer's, and tests hold what they test in libraries that are optimized.
$(B)/tests/unit/%.o: EXTRA := -O0
$(B)/tests/unit/dpdk-app/%.o: EXTRA = -O0 $(DPDK_CFLAGS) -DSPDLOG_FMT_EXTERNAL -DSPDLOG_COMPILED_LIB

$(B)/%.o: %.cc
	@mkdir -p $(@D)
	@echo "  CXX   $<"
	@$(CXX) $(CXXFLAGS_ALL) $(EXTRA) $(profile_flags) -c $< -o $@

# Counts come from the walks of `make bench`: the core alone, no port, no driver.
TRAINED := build-profiletrain/trained
ifeq ($(PROFILE),1)
$(foreach l,$(CORE_LAYERS),$(call objects,$(l))): $(TRAINED)
$(TRAINED): FORCE
	@$(MAKE) --no-print-directory PROFILE=train $@
.PHONY: FORCE
endif
ifeq ($(PROFILE),train)
$(TRAINED): $(B)/bin/bench
	@find $(B) -name '*.gcda' -delete
	@$< --benchmark_filter='^Walk/' --benchmark_min_time=0.05 > /dev/null
	@touch $@
endif

define layer_library
$(call lib,$(1)): $(call objects,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	@$(AR) rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call layer_library,$(l))))

# ---- programs -------------------------------------------------------------------------------------------------------
$(B)/bin/talariad: $(B)/dpdk-app/main.o $(call libs,dpdk-app)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CXX) -o $@ $^ $(LDFLAGS_ALL) $(DPDK_LIBS) $(CONTROL_LIBS)

$(B)/bin/talaria-load: $(B)/dpdk-app/talaria_load.o $(call libs,dpdk-app)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CXX) -o $@ $^ $(LDFLAGS_ALL) $(DPDK_LIBS) $(CONTROL_LIBS)

$(B)/bin/talariactl: $(B)/control/talariactl.o $(B)/control/base64.o
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CXX) -o $@ $^ $(LDFLAGS_ALL) -lcrypto

# `deps` comes first, in a make of its own: with -j nothing may be compiled before the compiler's headers are there.
.PHONY: all programs
all: deps ## build the broker and its command-line tool
	@$(MAKE) --no-print-directory programs
programs: $(B)/bin/talariad $(B)/bin/talariactl $(B)/bin/talaria-load

# ---- tests ----------------------------------------------------------------------------------------------------------
# tests/unit mirrors the layers: tests/unit/tcp/*.cc tests core/tcp and links only what core/tcp may use.
unit_dir = tests/unit/$(patsubst core/%,%,$(1))
unit_program = $(B)/tests/unit_$(subst /,_,$(patsubst core/%,%,$(1)))
unit_objects = $(patsubst %.cc,$(B)/%.o,$(wildcard $(call unit_dir,$(1))/*.cc))
TESTED_LAYERS := $(foreach l,$(CORE_LAYERS) load control dpdk-app,$(if $(wildcard $(call unit_dir,$(l))/*.cc),$(l)))
UNIT_PROGRAMS := $(foreach l,$(TESTED_LAYERS),$(call unit_program,$(l)))

define unit_test_program
$(call unit_program,$(1)): $(call unit_objects,$(1)) $(call libs,$(1))
	@mkdir -p $$(@D)
	@echo "  LD    $$@"
	@$$(CXX) -o $$@ $$^ $$(LDFLAGS_ALL) $(if $(filter control dpdk-app,$(1)),$(CONTROL_LIBS)) $(if $(filter dpdk-app,$(1)),$$(DPDK_LIBS)) \
	  -lgmock -lgtest_main -lgtest
endef
$(foreach l,$(TESTED_LAYERS),$(eval $(call unit_test_program,$(l))))

# Simulator and benchmarks run the whole broker without DPDK. (tests/sim and tests/bench are where their objects lie.)
broker_libs := $(foreach l,$(call may_use,dpdk-app),$(call lib,$(l)))
$(B)/bin/sim: $(patsubst %.cc,$(B)/%.o,$(wildcard tests/sim/*.cc)) $(broker_libs)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CXX) -o $@ $^ $(LDFLAGS_ALL) $(CONTROL_LIBS)

$(B)/bin/bench: $(patsubst %.cc,$(B)/%.o,$(wildcard tests/bench/*.cc)) $(broker_libs)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CXX) -o $@ $^ $(LDFLAGS_ALL) $(CONTROL_LIBS) -lbenchmark

# The conformance scripts' interpreter is a layer of its own, so that it links the stack and nothing above.
$(B)/bin/conformance: $(B)/tests/conformance/main.o $(call libs,tests/conformance)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CXX) -o $@ $^ $(LDFLAGS_ALL)

.PHONY: conformance
conformance: $(B)/bin/conformance ## the TCP stack against the packet scripts of tests/conformance; docs/TCP.md lists them
	@scripts/run-tests --suite conformance --closing-line 'wrong-scripts: $(B)/bin/conformance --self-test' \
	  'scripts: $(B)/bin/conformance' && grep -h ' behaviours hold' build/test-results/conformance/scripts.log

BENCH_OPTIONS ?=

.PHONY: bench
bench: $(B)/bin/bench ## benchmarks of each layer and of the whole walk; BENCH_OPTIONS=--benchmark_filter=Queue
	@$(B)/bin/bench $(BENCH_OPTIONS)

.PHONY: bench-check
bench-check: $(B)/bin/bench ## has the walk become slower than tests/bench/reference.json says, by this machine's own measure
	@scripts/run-tests --suite bench-check --closing-line 'walk: scripts/bench-check --bench $(B)/bin/bench'

LOAD_OPTIONS ?=

.PHONY: load
load: all ## the broker measured with talaria-load: results, table and plot in bench-results/load; LOAD_OPTIONS='--runs 5'
	@scripts/load-suite $(LOAD_OPTIONS)

.PHONY: load-scale
load-scale: all $(B)/bin/bench ## many connections, queues, bindings, messages at rest: instructions and rates, into bench-results/scale
	@scripts/load-scale $(LOAD_OPTIONS)

.PHONY: linux-tcp
linux-tcp: all deps-tests ## the broker's TCP beside Linux's, under loss, duplication and reordering, as a table; LINUX_TCP_OPTIONS='--runs 3'
	@scripts/measure-linux-tcp $(LINUX_TCP_OPTIONS)

.PHONY: unit
unit: $(UNIT_PROGRAMS) ## unit tests, one program a layer
	@scripts/run-tests $(UNIT_PROGRAMS)

# ---- run ------------------------------------------------------------------------------------------------------------
LAB_OPTIONS ?=

.PHONY: run
run: all ## start the broker in a network namespace, reachable at 127.0.0.1:5672, until Ctrl-C
	@scripts/lab serve $(LAB_OPTIONS)

.PHONY: demo
demo: all deps-tests ## stock clients publish and consume through the broker; prints rates and latencies
	@scripts/lab run $(LAB_OPTIONS) -- tests/interop/demo/run

# ---- simulator, fuzzers ---------------------------------------------------------------------------------------------
SEED ?=
SCENARIO ?=
PLANT ?=
SIM_RUNS ?= 200
# Sanitizers make a run up to twenty times slower.
ifneq ($(SANITIZE),)
export TALARIA_TEST_TIMEOUT ?= 1800
endif
SIM_OPTIONS = $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(PLANT),--plant $(PLANT))

.PHONY: sim
sim: $(B)/bin/sim ## the simulator over many seeds; SEED=n (SCENARIO=, PLANT=) replays one
	@$(if $(SEED),$(B)/bin/sim --seed $(SEED) $(SIM_OPTIONS), \
	  scripts/run-tests --suite sim --closing-line 'planted-bugs: $(B)/bin/sim --self-test' 'seeds: $(B)/bin/sim --runs $(SIM_RUNS) $(SIM_OPTIONS)' \
    'matrix: $(B)/bin/sim --matrix --every 11' 'conversation: $(B)/bin/sim --conversation --every 19' \
    'deaths: $(B)/bin/sim --deaths --every 23')

.PHONY: sim-long
sim-long: $(B)/bin/sim ## 10,000 seeds, every cell of the matrix, every frame of a conversation lost in turn; the matrix goes into docs/TCP.md
	@TALARIA_TEST_TIMEOUT=86400 scripts/run-tests --suite sim-long --closing-line 'seeds: $(B)/bin/sim --runs 10000 --jobs 2' \
	  'matrix: $(B)/bin/sim --matrix --jobs 2 --document docs/TCP.md' 'conversation: $(B)/bin/sim --conversation --jobs 2' \
	  'deaths: $(B)/bin/sim --deaths --jobs 2'

# Each tests/fuzz/NAME.cc is a libFuzzer target with the corpus tests/fuzz/corpus/NAME; it fuzzes one layer and links only
# what that layer may use. clang builds the fuzzers with sanitizers; the corpora are replayed by the compiler in use.
fuzzed_layer_frames := core/amqp091/wire
fuzzed_layer_segments := core/tcp
fuzzed_layer_options := core/tcp
fuzzed_layer_session := core/amqp091/session
FUZZERS := $(filter-out replay,$(basename $(notdir $(wildcard tests/fuzz/*.cc))))
TARGET ?=
SECONDS ?= 60

define fuzz_program_pair
$(B)/tests/fuzz_$(1): $(B)/tests/fuzz/$(1).o $(call libs,$(fuzzed_layer_$(1)))
	@mkdir -p $$(@D)
	@echo "  LD    $$@"
	@$$(CXX) -o $$@ $$^ $$(LDFLAGS_ALL) -fsanitize=fuzzer
$(B)/tests/replay_$(1): $(B)/tests/fuzz/replay.o $(B)/tests/fuzz/$(1).o $(call libs,$(fuzzed_layer_$(1)))
	@mkdir -p $$(@D)
	@echo "  LD    $$@"
	@$$(CXX) -o $$@ $$^ $$(LDFLAGS_ALL)
endef
$(foreach f,$(FUZZERS),$(eval $(call fuzz_program_pair,$(f))))

.PHONY: fuzz-replay fuzz fuzz-run
fuzz-replay: $(foreach f,$(FUZZERS),$(B)/tests/replay_$(f)) ## the fuzz targets over their corpora, once
	@scripts/run-tests --suite fuzz-replay --closing-line $(foreach f,$(FUZZERS),'$(f): $(B)/tests/replay_$(f) tests/fuzz/corpus/$(f)')
fuzz: deps-tests ## fuzz TARGET= (all in turn) for SECONDS= each; what they find comes to lie in build/fuzz
	@$(MAKE) --no-print-directory CXX=clang++ SANITIZE=fuzzer-no-link,address,undefined fuzz-run
fuzz-run: $(foreach f,$(or $(TARGET),$(FUZZERS)),$(B)/tests/fuzz_$(f))
	@for fuzzer in $(or $(TARGET),$(FUZZERS)); do mkdir -p build/fuzz/$$fuzzer; $(B)/tests/fuzz_$$fuzzer -max_total_time=$(SECONDS) \
	  -artifact_prefix=build/fuzz/$$fuzzer- build/fuzz/$$fuzzer tests/fuzz/corpus/$$fuzzer || exit; done

# ---- all tests ------------------------------------------------------------------------------------------------------
# Each suite is a target of its own that leaves its sums in build/test-results; scripts/test-all adds them up.
SUITES := unit conformance $(if $(wildcard tests/sim/*.cc),sim) $(if $(FUZZERS),fuzz-replay) bench-check scripts interop

.PHONY: test
test: deps-tests ## everything: builds, installs what is missing, ends with `N passed, N failed, N skipped`
	@MAKE="$(MAKE)" scripts/test-all $(SUITES)

.PHONY: scripts
scripts: all deps-tests ## tests of scripts/ and talariactl: the lab, host set-up, the layer check, every verb
	@scripts/run-tests --suite scripts --tap $(wildcard tests/scripts/*_test)

.PHONY: interop
interop: all deps-tests ## stock clients of seven languages against the broker in the lab
	@scripts/run-interop $(LAB_OPTIONS)

# ---- check ----------------------------------------------------------------------------------------------------------
CHECKED := $(shell find core load control dpdk-app tests -name '*.cc' -o -name '*.h' 2>/dev/null | sort)
TIDY_STAMPS := $(patsubst %.cc,$(B)/tidy/%.stamp,$(filter core/%.cc load/%.cc control/%.cc dpdk-app/%.cc,$(CHECKED)))

.PHONY: check layers format tidy
check: layers format tidy ## who includes whom, format, clang-tidy
layers: ## reads every include against scripts/layers.txt
	@scripts/check-layers
format: ## clang-format, nothing but a look
	@clang-format --dry-run -Werror $(CHECKED)
tidy: $(TIDY_STAMPS) ## clang-tidy, on what changed since it last passed

# A stamp follows the object, which follows every header the source includes.
$(B)/tidy/%.stamp: %.cc $(B)/%.o .clang-tidy
	@mkdir -p $(@D)
	@echo "  TIDY  $<"
	@clang-tidy-16 --quiet $< -- -std=c++2b -I. -U__cpp_concepts -D__cpp_concepts=202002L -Wno-builtin-macro-redefined -march=x86-64-v2 \
	  -DSPDLOG_FMT_EXTERNAL -DSPDLOG_COMPILED_LIB $(if $(filter dpdk-app/%,$<),$(DPDK_CFLAGS) -DALLOW_EXPERIMENTAL_API) 2>$@.log \
	  || { cat $@.log; false; }
	@touch $@

# ---- install --------------------------------------------------------------------------------------------------------
PREFIX ?= /usr/local

.PHONY: install
install: all ## programs, systemd unit and host scripts below PREFIX (and DESTDIR)
	install -D -m 755 $(B)/bin/talariad $(DESTDIR)$(PREFIX)/sbin/talariad
	install -D -m 755 $(B)/bin/talariactl $(DESTDIR)$(PREFIX)/bin/talariactl
	install -D -m 755 $(B)/bin/talaria-load $(DESTDIR)$(PREFIX)/bin/talaria-load
	install -D -m 755 scripts/setup-host $(DESTDIR)$(PREFIX)/libexec/talaria/scripts/setup-host
	install -D -m 755 scripts/bind-nic $(DESTDIR)$(PREFIX)/libexec/talaria/scripts/bind-nic
	install -D -m 644 hugepages.conf $(DESTDIR)$(PREFIX)/libexec/talaria/hugepages.conf
	sed 's|/usr/local|$(PREFIX)|' scripts/talaria.service >$(B)/talaria.service
	install -D -m 644 $(B)/talaria.service $(DESTDIR)/etc/systemd/system/talaria.service

.PHONY: clean
clean: ## remove everything that was built
	rm -rf build build-*

.PHONY: help
help: ## this list
	@echo "Talaria, a kernel-bypass AMQP broker."
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | sort | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'
	@echo "Variables: SANITIZE=address,undefined | thread    PROFILE=1 (into build-profile: by counted runs, across files)    CXX=clang++    SEED=n (make sim)    TARGET=frames SECONDS=60 (make fuzz)    LAB_OPTIONS='--workers 2' (run, demo, interop)"

.PHONY: deps
deps: ## install what is missing from Debian's packages
	@scripts/install-deps

.PHONY: deps-tests
deps-tests: ## the same, with the stock clients and clang's tools
	@scripts/install-deps --tests

-include $(shell find $(B) -name '*.d' 2>/dev/null)
