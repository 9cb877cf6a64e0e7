# Everything here needs only make and Python 3.11 or newer; what it installs goes into .venv, from hashed files.
# 只需要 make 和 Python 3.11 以上；安装的一切都在 .venv 里，来自带哈希的清单。
#
#   make run      install and serve / 安装并启动        make test   run all tests / 运行全部测试
#   make install  install only / 只安装                 make lint   style and types / 风格与类型检查
#   make bench    measurements / 性能测量               make crash  500 kill -9 runs, a push to 20,000 / 500 次断电演练，两万人推送
#   make lock     renew requirements/ (UPGRADE=--upgrade for newer releases) / 更新依赖清单
#
# PYTHON=/path/to/python3.12 chooses the interpreter; ARGS="--config my.toml" goes to the service;
# WORKERS=0 runs the tests one after the other; PYTEST_ARGS="-k menu" goes to pytest.

VENV = .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
WORKERS ?= 2
HAS_CHROMIUM = { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null
LOCK = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.PHONY: run install test lint lock bench crash browser

run: install
	@exec $(VENV)/bin/python -m bot $(ARGS) serve

# Compiled here: who serves need not be who may write here, and would compile everything at each start.
install: $(VENV)/.runtime
	@$(VENV)/bin/python -m compileall -qq bot campaigns content storage || true

test: $(VENV)/.dev browser
	@if $(HAS_CHROMIUM); then set --; else set -- -m "not browser"; fi; \
	exec $(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile "$$@" $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

lock: $(VENV)/.dev
	$(LOCK) $(UPGRADE) --group build --output-file requirements/runtime.txt pyproject.toml
	$(LOCK) $(UPGRADE) --group dev --constraint requirements/runtime.txt --output-file requirements/dev.txt pyproject.toml

bench: install
	@exec $(VENV)/bin/python -m benchmarks $(ARGS)

crash: $(VENV)/.dev
	@$(VENV)/bin/python -m tests.crash --kills 500 $(ARGS)
	@exec $(VENV)/bin/python -m tests.push_crash --people 20000

# The first interpreter that is new enough; a shim that only explains itself does not count.
$(VENV)/.made:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found="$$python"; break; fi; \
	  if [ "$$python" = "$(PYTHON)" ]; then break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "需要 Python 3.11 或更新版本：请先安装，或用 make PYTHON=/路径/python3 指定。" >&2; \
	  echo "Python 3.11 or newer is needed: install it, or name it with make PYTHON=/path/to/python3." >&2; \
	  exit 1; \
	fi; \
	if ! "$$found" -m venv $(VENV); then \
	  echo "无法建立虚拟环境；Debian 和 Ubuntu 上请先安装 python3-venv。" >&2; \
	  echo "The virtual environment could not be made; on Debian and Ubuntu install python3-venv first." >&2; \
	  exit 1; \
	fi; \
	touch $@

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml $(VENV)/.made
	@echo "安装运行所需的软件包… / Installing what the service needs…"
	@$(PIP) install --require-hashes -r requirements/runtime.txt
	@$(PIP) install --no-index --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml $(VENV)/.made
	@echo "安装测试所需的软件包… / Installing what the tests need…"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-index --no-deps --no-build-isolation -e .
	@touch $(VENV)/.runtime $@

# The pages are tested in a real browser. In CI a missing one is a failure; elsewhere its tests are left out, said aloud.
browser:
	@if $(HAS_CHROMIUM); then exit 0; fi; \
	if command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium >/dev/null; \
	fi; \
	if $(HAS_CHROMIUM); then exit 0; fi; \
	echo "没有找到 Chromium：页面测试需要它。 / Chromium was not found: the tests of the pages need it." >&2; \
	[ "$$CI" != true ]
