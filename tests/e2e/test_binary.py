"""The program as it is shipped: what the compiler and the linker were to harden, and that the list of what it links to
(docs/sbom.cdx.json) is right. Reads the file; runs nothing of it."""

import re
import subprocess
import sys

import pytest

from harness.tools import REPOSITORY, balancer_program


def readelf(*options):
    done = subprocess.run(["readelf", "--wide", *options, balancer_program()], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def symbols():
    return set(re.findall(r"\s([\w.]+)(?:@\S+)?(?: \(\d+\))?$", readelf("--dyn-syms"), re.MULTILINE))


@pytest.fixture(scope="module", autouse=True)
def release_only(symbols):
    if any(s.startswith(("__asan_", "__tsan_")) for s in symbols):
        pytest.skip("built with a sanitizer, not for release")


def test_it_is_position_independent():
    assert "DYN" in re.search(r"Type:\s*(.*)", readelf("--file-header")).group(1)
    assert "PIE" in readelf("--dynamic")


def test_its_tables_are_read_only_once_it_runs():
    dynamic = readelf("--dynamic")
    assert "BIND_NOW" in dynamic
    assert re.search(r"FLAGS_1\).*\bNOW\b", dynamic)
    assert "GNU_RELRO" in readelf("--program-headers")
    assert not re.search(r"\((RPATH|RUNPATH|TEXTREL)\)", dynamic)


def test_no_memory_is_writable_and_executable():
    headers = readelf("--program-headers")
    stack = re.search(r"GNU_STACK.*\s(R\S*)\s+0x", headers).group(1)
    assert stack == "RW"
    for flags in re.findall(r"^\s+LOAD\s.*0x\w+\s+([R WE]+?)\s+0x", headers, re.MULTILINE):
        assert not ("W" in flags and "E" in flags), flags


def test_stacks_and_copies_are_checked(symbols):
    assert "__stack_chk_fail" in symbols
    assert any(s.endswith("_chk") and s != "__stack_chk_fail" for s in symbols), "no fortified call"


def test_the_standard_library_checks_bounds(symbols):
    assert any("glibcxx_assert_fail" in s for s in symbols)


def test_indirect_branches_land_on_marks():
    """-fcf-protection: functions begin with endbr64. (The note that turns enforcement on needs marks in each object that
    is linked, and those of Debian's C library have none.)"""
    done = subprocess.run(["objdump", "--disassemble", "--no-show-raw-insn", "--section=.text", balancer_program()],
                          capture_output=True, text=True, check=True)
    if "elf64-x86-64" not in done.stdout:
        pytest.skip("of x86-64 only")
    functions = done.stdout.count(">:\n")
    assert done.stdout.count("endbr64") > functions / 2


def test_the_sbom_names_what_is_linked():
    done = subprocess.run([sys.executable, REPOSITORY / "scripts/sbom", "--check", balancer_program()],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
