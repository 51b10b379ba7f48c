"""A disk that forgets: what is on it after a loss of power, as a model.

Sure is only what was synced: the content of a file by a sync of the file, the names in a directory by a sync
of the directory. Anything else may be there, or not, or in part: writes are lost, torn, or reach the disk in
any order; a file grows before its content is there, and holds zeros; names appear, vanish and change places
in any order. That is more than any one file system does; none promises more than the model keeps.
"""

import random

BLOCK = 512


class File:
    """A file: what is on the disk for sure, and what was written since."""

    def __init__(self):
        self.sure = b""
        self.since = []

    def settle(self, changes):
        """These changes are on the disk now."""
        for change in [change for change in self.since if any(change is other for other in changes)]:
            self.sure = changed(self.sure, change)
            self.since.remove(change)

    def now(self):
        """What a process that reads it sees."""
        content = self.sure
        for change in self.since:
            content = changed(content, change)
        return content


class Directory:
    """A directory: its names on the disk for sure, and what became of names since."""

    def __init__(self):
        self.sure = {}
        self.since = []

    def settle(self, changes):
        """These changes are on the disk now."""
        for change in [change for change in self.since if any(change is other for other in changes)]:
            rename(self.sure, change)
            self.since.remove(change)

    def now(self):
        """The names that a process sees."""
        return renamed(self.sure, self.since)


def changed(content, change):
    """A file's content after a change: it is cut, or something stands behind it."""
    kind, value = change
    return content[:value] if kind == "cut" else content + value


def rename(names, change):
    """Changes names: removes the first, adds the second."""
    gone, new, node = change
    if gone is not None:
        names.pop(gone, None)
    if new is not None:
        names[new] = node


def renamed(names, changes):
    names = dict(names)
    for change in changes:
        rename(names, change)
    return names


class Disk:
    """The files below a directory, as a run of calls changes them."""

    def __init__(self, root):
        self.root = str(root)
        self.top = Directory()

    def find(self, path):
        """What lies at a path, for a process that looks."""
        node = self.top
        for name in self.parts(path):
            if not isinstance(node, Directory):
                return None
            node = node.now().get(name)
        return node

    def parts(self, path):
        """The names on the way to a path."""
        return [name for name in path[len(self.root) :].split("/") if name]

    def holds(self, path):
        """Whether the path is the root or lies below it."""
        return path == self.root or path.startswith(self.root + "/")

    def beside(self, path):
        """The directory that a path lies in, and its name there."""
        directory, name = path.rstrip("/").rsplit("/", 1)
        return self.find(directory), name

    def can(self, call):
        """Whether what the call needs is there: of two at once, the later to begin may have been the first."""
        paths = [path for path in call.paths() if self.holds(path)]
        is_move = len(paths) == 2
        return all(self.beside(path)[0] is not None for path in paths if path != self.root) and not (
            is_move and self.find(paths[0]) is None
        )

    def all(self):
        """Every file and directory that a process can find, and those that only the disk still knows."""
        waiting, seen = [self.top], []
        while waiting:
            node = waiting.pop()
            if any(node is other for other in seen):
                continue
            seen.append(node)
            if isinstance(node, Directory):
                waiting += [*node.now().values(), *node.sure.values()]
        return seen

    def do(self, call):
        """Changes it as a call does that is no sync."""
        paths = [path for path in call.paths() if self.holds(path)]
        if call.name == "write":
            node = self.find(call.file()) if self.holds(call.file()) else None
            if isinstance(node, File):
                node.since.append(("add", call.data()))
        elif call.name == "ftruncate" and self.holds(call.file()):
            self.find(call.file()).since.append(("cut", int(call.words.rsplit(", ", 1)[1])))
        elif paths and call.name == "openat":
            self._open(paths[0], call.words)
        elif paths and call.name in ("mkdir", "mkdirat"):
            directory, name = self.beside(paths[0])
            directory.since.append((None, name, Directory()))
        elif paths and call.name in ("unlink", "unlinkat", "rmdir"):
            directory, name = self.beside(paths[0])
            directory.since.append((name, None, None))
        elif len(paths) == 2 and call.name in ("rename", "renameat", "renameat2", "link", "linkat"):
            self._move(*paths, is_link="link" in call.name)
        elif paths or self.holds(call.file()):
            raise ValueError(f"nobody knows what `{call.name}` does to the disk")

    def _open(self, path, words):
        node = self.find(path)
        if node is None and "O_CREAT" in words:
            directory, name = self.beside(path)
            directory.since.append((None, name, File()))
        elif isinstance(node, File) and "O_TRUNC" in words:
            node.since.append(("cut", 0))

    def _move(self, old, new, is_link):
        (source, before), (target, name) = self.beside(old), self.beside(new)
        node = source.now()[before]
        if source is target:
            source.since.append((None if is_link else before, name, node))
            return
        target.since.append((None, name, node))
        if not is_link:
            source.since.append((before, None, None))

    def reached(self, call):
        """What a sync that begins now will have on the disk: each node with its changes until now."""
        if call.name == "syncfs":
            return [(node, list(node.since)) for node in self.all()]
        node = self.find(call.file()) if self.holds(call.file()) else None
        return [] if node is None else [(node, list(node.since))]


def after(disk, way, seed):
    """The files after a loss of power, by their paths; directories hold None."""
    dice = random.Random(seed)
    contents, found, waiting = {}, {}, [("", disk.top)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, File):
            if id(node) not in contents:
                contents[id(node)] = WAYS[way][1](node, dice)
            found[path] = contents[id(node)]
            continue
        found[path] = None
        names = renamed(node.sure, WAYS[way][0](node.since, dice))
        waiting += [(f"{path}/{name}", child) for name, child in sorted(names.items(), key=lambda item: item[0])]
    return found


def some(changes, dice):
    """Any of them."""
    return [change for change in changes if dice.random() < 0.5]


def zeros(node, _):
    """It has grown, and its content is not there."""
    now = node.now()
    kept = node.sure if now.startswith(node.sure) else b""
    return kept + bytes(len(now) - len(kept))


def torn(node, dice):
    """A beginning of what was written."""
    now = node.now()
    kept = len(node.sure) if now.startswith(node.sure) else 0
    return now[: dice.randint(kept, len(now))] if node.since else now


def blocks(node, dice):
    """It has grown, and some blocks are there."""
    now = bytearray(node.now())
    kept = len(node.sure) if now.startswith(node.sure) else 0
    for at in range(kept - kept % BLOCK, len(now), BLOCK):
        if dice.random() < 0.5:
            first, end = max(at, kept), min(at + BLOCK, len(now))
            now[first:end] = bytes(end - first)
    return bytes(now)


def any_of(node, dice):
    """Any of all that."""
    ways = [lambda node, _: node.sure, lambda node, _: node.now(), zeros, torn, blocks]
    return dice.choice(ways)(node, dice)


def none(_, __):
    return []


def every(changes, _):
    return changes


# What becomes of names, and of contents.
WAYS = {
    "nothing": (none, lambda node, _: node.sure),
    "everything": (every, lambda node, _: node.now()),
    "contents without names": (none, lambda node, _: node.now()),
    "names without contents": (every, lambda node, _: node.sure),
    "zeros": (every, zeros),
    "torn": (every, torn),
    "blocks": (every, blocks),
    "anything": (some, any_of),
}
