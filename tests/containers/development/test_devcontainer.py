"""The development container: its description, and setup.sh's arrangement of the services."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SETUP = ROOT / ".devcontainer/setup.sh"
SERVICES = ("payments-api", "recon-worker", "payments-ui")


def description() -> dict[str, Any]:
    """Return devcontainer.json, which may contain whole-line comments."""
    text = (ROOT / ".devcontainer/devcontainer.json").read_text()
    found: dict[str, Any] = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    return found


def git(*arguments: str, cwd: Path) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=cwd, capture_output=True, text=True, check=True
    ).stdout


def bare_repository(folder: Path, name: str, files: dict[str, str]) -> Path:
    work, bare = folder / f"{name}-work", folder / f"{name}.git"
    for file, text in files.items():
        (work / file).parent.mkdir(parents=True, exist_ok=True)
        (work / file).write_text(text)
    git("init", "--quiet", cwd=work)
    git("add", ".", cwd=work)
    git("commit", "--quiet", "-m", "First", cwd=work)
    git("clone", "--quiet", "--bare", str(work), str(bare), cwd=folder)
    return bare


@pytest.fixture
def forge(tmp_path: Path) -> Path:
    """Return a folder with a repository for each package."""
    forge = tmp_path / "forge"
    forge.mkdir()
    api = {
        "src/payments_api/__init__.py": "",
        ".devcontainer/setup.sh": SETUP.read_text(),
        "pyproject.toml": "",
    }
    bare_repository(forge, "payments-api", api)
    for name in ("payments-core", "recon-worker", "payments-ui"):
        bare_repository(forge, name, {"pyproject.toml": f"# {name}\n"})
    return forge


def run_setup(checkout: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(checkout / ".devcontainer/setup.sh")],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def whole_checkout(workspaces: Path, name: str = "payments") -> Path:
    checkout = workspaces / name
    (checkout / ".devcontainer").mkdir(parents=True)
    shutil.copy(SETUP, checkout / ".devcontainer/setup.sh")
    for service in SERVICES:
        (checkout / service).mkdir()
        (checkout / service / "pyproject.toml").write_text(f"# {service}\n")
    return checkout


def own_checkout(forge: Path, workspaces: Path, name: str = "payments-api") -> Path:
    workspaces.mkdir()
    git("clone", "--quiet", str(forge / "payments-api.git"), name, cwd=workspaces)
    return workspaces / name


def test_every_feature_is_pinned_to_a_release() -> None:
    for feature in description()["features"]:
        assert re.search(r":\d+\.\d+\.\d+$", feature), feature


def test_docker_is_installed_from_docker_where_debian_has_no_moby() -> None:
    (options,) = description()["features"].values()
    assert options["moby"] is False


def test_the_page_is_public_and_the_api_is_private() -> None:
    found = description()
    assert found["forwardPorts"] == [3000, 3001]
    assert "public" in found["portsAttributes"]["3000"]["label"]
    assert "private" in found["portsAttributes"]["3001"]["label"]


def test_packages_of_a_single_checkout_are_linked(tmp_path: Path) -> None:
    checkout = whole_checkout(tmp_path)
    done = run_setup(checkout)
    assert done.returncode == 0, done.stderr
    for service in SERVICES:
        place = tmp_path / service
        assert place.is_symlink()
        assert not place.readlink().is_absolute()
        assert (place / "pyproject.toml").read_text() == f"# {service}\n"


def test_linking_again_changes_nothing(tmp_path: Path) -> None:
    checkout = whole_checkout(tmp_path)
    run_setup(checkout)
    again = run_setup(checkout)
    assert again.stdout.splitlines() == [f"setup: {service}: in place" for service in SERVICES]
    assert again.stderr == ""


def test_an_unrelated_folder_is_kept_and_named(tmp_path: Path) -> None:
    checkout = whole_checkout(tmp_path)
    (tmp_path / "payments-ui").mkdir()
    done = run_setup(checkout)
    assert done.returncode == 0
    assert f"{tmp_path}/payments-ui already exists" in done.stderr
    assert (tmp_path / "recon-worker").is_symlink()


def test_a_moved_checkout_is_linked_again(tmp_path: Path) -> None:
    run_setup(whole_checkout(tmp_path))
    (tmp_path / "payments").rename(tmp_path / "moved")
    done = run_setup(tmp_path / "moved")
    assert "recon-worker: linked anew" in done.stdout
    assert (tmp_path / "recon-worker/pyproject.toml").is_file()


def test_the_other_repositories_are_cloned_from_the_same_host(forge: Path, tmp_path: Path) -> None:
    checkout = own_checkout(forge, tmp_path / "workspaces")
    done = run_setup(checkout)
    assert done.returncode == 0
    assert done.stderr == ""
    for name in ("payments-core", "recon-worker", "payments-ui"):
        assert (tmp_path / "workspaces" / name / "pyproject.toml").read_text() == f"# {name}\n"
    again = run_setup(checkout)
    assert again.stdout.count("in place") == 4


def test_a_given_address_takes_precedence(forge: Path, tmp_path: Path) -> None:
    other = bare_repository(tmp_path, "fork", {"pyproject.toml": "# a fork\n"})
    checkout = own_checkout(forge, tmp_path / "workspaces")
    run_setup(checkout, PAYMENTS_UI_REPO=str(other))
    assert (tmp_path / "workspaces/payments-ui/pyproject.toml").read_text() == "# a fork\n"


def test_a_renamed_checkout_is_linked_under_its_own_name(forge: Path, tmp_path: Path) -> None:
    checkout = own_checkout(forge, tmp_path / "workspaces", "my-api")
    run_setup(checkout)
    assert (tmp_path / "workspaces/payments-api").resolve() == checkout.resolve()


def test_offline_setup_prints_instructions_and_succeeds(forge: Path, tmp_path: Path) -> None:
    checkout = own_checkout(forge, tmp_path / "workspaces")
    shutil.rmtree(forge / "payments-ui.git")
    done = run_setup(checkout)
    assert done.returncode == 0
    assert "payments-ui: cannot clone" in done.stderr
    assert "set PAYMENTS_UI_REPO to its address, or come online" in done.stderr
    assert (tmp_path / "workspaces/recon-worker/pyproject.toml").is_file()
    assert not (tmp_path / "workspaces/payments-ui").exists()
    assert not list((tmp_path / "workspaces").glob(".clone*"))


def test_a_token_in_an_address_is_not_shown(forge: Path, tmp_path: Path) -> None:
    checkout = own_checkout(forge, tmp_path / "workspaces")
    url = "https://user:s3cret@localhost:9/owner/payments-api.git"
    git("remote", "set-url", "origin", url, cwd=checkout)
    done = run_setup(checkout)
    assert done.returncode == 0
    assert "https://***@localhost:9/owner/payments-ui.git" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("origin", "derived"),
    [
        ("git@localhost:owner/payments-api.git", "git@localhost:owner/recon-worker.git"),
        ("git@localhost:payments-api.git", "git@localhost:recon-worker.git"),
        ("https://localhost:9/a/b/payments-api/", "https://localhost:9/a/b/recon-worker"),
    ],
)
def test_addresses_are_derived_from_every_form_of_origin(
    forge: Path, tmp_path: Path, origin: str, derived: str
) -> None:
    checkout = own_checkout(forge, tmp_path / "workspaces")
    git("remote", "set-url", "origin", origin, cwd=checkout)
    # ssh fails at once; the test needs only the requested address.
    assert f"cannot clone {derived}:" in run_setup(checkout, GIT_SSH_COMMAND="false").stderr


def test_without_an_origin_setup_names_the_variable_to_set(forge: Path, tmp_path: Path) -> None:
    checkout = own_checkout(forge, tmp_path / "workspaces")
    git("remote", "remove", "origin", cwd=checkout)
    done = run_setup(checkout)
    assert done.returncode == 0
    assert "set RECON_WORKER_REPO" in done.stderr
