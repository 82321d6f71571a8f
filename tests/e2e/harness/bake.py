"""`buildx bake`: many builds of one client at once."""

import json
from collections import Counter

from . import contexts
from .process import wait_until


def start_bake(client, address, targets, name="bake", extra=()):
    """`targets`: name -> what a bake file says of it. Each target's result goes to the folder of its name below
    Build.out; returns a RunningBuild."""
    folder = client.new_folder(name)
    file = folder / "docker-bake.json"
    file.write_text(json.dumps({
        "group": {"default": {"targets": list(targets)}},
        "target": {key: {"output": [f"type=local,dest={folder / 'out' / key}"], **target}
                   for key, target in targets.items()},
    }))
    return client.start(name, folder, ["bake", "--builder", client.builder(address), "--progress", "plain",
                                       "--metadata-file", folder / "metadata.json", "-f", file, *extra])


def bake(client, address, targets, timeout=120, **options):
    return start_bake(client, address, targets, **options).wait(timeout)


def refs_of(build):
    """target -> Ref of a bake that went well."""
    metadata = json.loads((build.out.parent / "metadata.json").read_text())
    return {target: about["buildx.build.ref"].rpartition("/")[2] for target, about in metadata.items()
            if isinstance(about, dict) and "buildx.build.ref" in about}


def landed(build, workers):
    """How many builds of a bake each worker ran, fewest first."""
    refs = set(refs_of(build).values())

    def counts():
        found = Counter({w.name: len(refs & set(w.history())) for w in workers})
        return found if found.total() == len(refs) else None

    # A worker enters a build in its history a moment after it has answered.
    return wait_until(counts, f"the workers to know the {len(refs)} builds of {build.name}", timeout=5)


def tree(folder):
    """path -> content of every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def own_file(folder, name, parents=()):
    """The context of a target that takes all its parents have, and a file that has the same name in every context."""
    copies = "".join(f"COPY --from={parent} / /\n" for parent in parents)
    return contexts.dockerfile(folder / f"context-of-{name}", f"FROM scratch\n{copies}COPY own /own-{name}\n",
                               {"own": f"file of {name}\n"})
