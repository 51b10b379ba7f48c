//! The session's root: an empty tmpfs in which nothing exists but what the plan names.
//!
//! Order matters. Sources are opened as detached trees while their paths still mean something (before
//! the tmpfs covers one of them, and before root's rights are given up); they are attached from the
//! root downwards; pins and masks come last, on what is then in place. Nothing here runs once Landlock
//! holds, since Landlock forbids mounts.

mod git_outside;
mod git_settings;
mod hold;
mod hooks;
mod led;
mod places;
mod replaceable;

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use agentguard_core::{Access, Limits, Network};
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_remount, move_mount,
    open_tree, unmount,
};

use crate::difference::{Snapshot, WalkLimits};
use crate::error::{Failure, Step};
use crate::plan::{Layer, Plan, TEMPORARY};
use crate::sys::{Attributes, change_tree, idmap_tree};

pub use git_outside::{Elsewhere, named_outside};
pub use git_settings::Named;
pub(crate) use led::Led;
pub use replaceable::replaceable;

/// Where the new root is put together. It is covered, so what lies there is not lost.
pub(crate) const BASE: &str = "/tmp";

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("pts/ptmx", "dev/ptmx"),
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
];
/// Links or directories at the top of a system, which merged-usr systems link into `/usr`.
const TOP: [&str; 6] = ["bin", "sbin", "lib", "lib64", "lib32", "libx32"];

/// A piece of the host, detached from where it was.
pub(crate) struct Source {
    target: PathBuf,
    tree: OwnedFd,
    is_directory: bool,
    order: usize,
}

/// The maps through which files of another owner become the agent's.
pub(crate) struct Owners<'a> {
    /// Asks for the user namespace that shows `uid:gid` as the agent's.
    pub(crate) namespace_for: &'a dyn Fn(u32, u32) -> Result<Rc<OwnedFd>, Failure>,
}

/// Opens every tree that the plan names. With `owners`, what can be written is shown as the agent's.
pub(crate) fn open_sources(
    plan: &Plan,
    owners: Option<&Owners<'_>>,
) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    let mut add = |path: &Path, target: &Path, access: Access| -> Result<(), Failure> {
        let order = sources.len();
        let read_only = access == Access::Read && !plan.without.contains(&Layer::Mounts);
        let source = open_source(path, target, access, read_only, owners)?;
        sources.extend(source.map(|source| Source { order, ..source }));
        Ok(())
    };
    let is_top_link = |path: &Path| {
        let name = relative(path);
        TOP.iter().any(|top| Path::new(top) == name) && !is_directory(path)
    };
    for grant in &plan.confinement.grants {
        // Recreated as the link it is.
        if is_top_link(&grant.path) {
            continue;
        }
        add(&grant.path, &grant.path, grant.access)?;
    }
    for name in TOP {
        let path = Path::new("/").join(name);
        if is_directory(&path) {
            add(&path, &path, Access::Read)?;
        }
    }
    if plan.confinement.network == Network::Host
        && let Some(resolver) = resolver_outside_etc()
    {
        add(&resolver, &resolver, Access::Read)?;
    }
    add(&plan.temporary, Path::new(TEMPORARY), Access::Write)?;
    add(&plan.private_home, &plan.confinement.home, Access::Write)?;
    for grant in &plan.confinement.home_grants {
        add(
            &plan.human_home.join(&grant.path),
            &plan.confinement.home.join(&grant.path),
            grant.access,
        )?;
    }
    let sockets = plan.confinement.sockets.iter();
    let sockets = sockets.map(|path| (path, path.clone()));
    for (path, target) in sockets.chain(plan.signing.iter().zip(plan.signing_inside())) {
        let order = sources.len();
        let source = open_socket(path, &target)?;
        sources.extend(source.map(|source| Source { order, ..source }));
    }
    let order = sources.len();
    let workspace = open_workspace(&plan.confinement.workspace, owners)?;
    sources.push(Source { order, ..workspace });
    for device in DEVICES {
        add_device(&mut sources, device)?;
    }
    sources.sort_by_key(|source| (source.target.components().count(), source.order));
    Ok(sources)
}

fn open_source(
    path: &Path,
    target: &Path,
    access: Access,
    read_only: bool,
    owners: Option<&Owners<'_>>,
) -> Result<Option<Source>, Failure> {
    let shown = || format!("open `{}`", path.display());
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = match open_tree(CWD, path, flags) {
        Ok(tree) => tree,
        Err(Errno::NOENT | Errno::ACCESS) if access == Access::Read => return Ok(None),
        Err(error) => return Err(error).step(shown()),
    };
    show(tree, target, access, read_only, owners).map(Some)
}

/// Opens the workspace. Its path had no link in it when it was judged; another session that works above it may
/// have put one there since, which would lead this one anywhere.
fn open_workspace(path: &Path, owners: Option<&Owners<'_>>) -> Result<Source, Failure> {
    let shown = || format!("open `{}`", path.display());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place =
        fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).step(shown())?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&place, "", flags).step(shown())?;
    show(tree, path, Access::Write, false, owners)
}

/// Opens a unix socket that policy grants; nothing where nothing is. Links on the way are refused: where an
/// agent could write, an earlier session may have put one there, to another socket.
fn open_socket(path: &Path, target: &Path) -> Result<Option<Source>, Failure> {
    let shown = || format!("open the socket `{}`", path.display());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = match fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Ok(place) => place,
        Err(Errno::NOENT | Errno::ACCESS) => return Ok(None),
        Err(Errno::LOOP) => {
            let reason = "a symbolic link leads there; policy has to name the place itself";
            return Err(Failure::new(shown(), reason));
        }
        Err(error) => return Err(error).step(shown()),
    };
    let kind = FileType::from_raw_mode(fs::fstat(&place).step(shown())?.st_mode);
    if kind != FileType::Socket {
        return Err(Failure::new(shown(), "it is no socket"));
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&place, "", flags).step(shown())?;
    show(tree, target, Access::Read, true, None).map(Some)
}

/// Makes a detached tree what it is to be inside.
fn show(
    tree: OwnedFd,
    target: &Path,
    access: Access,
    read_only: bool,
    owners: Option<&Owners<'_>>,
) -> Result<Source, Failure> {
    let shown = || format!("show `{}`", target.display());
    let stat = fs::fstat(&tree).step(shown())?;
    if let (Access::Write, Some(owners)) = (access, owners) {
        let namespace = (owners.namespace_for)(stat.st_uid, stat.st_gid)?;
        idmap_tree(tree.as_fd(), namespace.as_fd())
            .step(format!("show `{}` as the agent's own", target.display()))?;
    }
    change_tree(
        tree.as_fd(),
        Attributes {
            read_only,
            no_devices: true,
        },
    )
    .step(shown())?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    Ok(Source {
        target: target.to_owned(),
        tree,
        is_directory,
        order: 0,
    })
}

fn add_device(sources: &mut Vec<Source>, name: &str) -> Result<(), Failure> {
    let path = Path::new("/dev").join(name);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, &path, flags).step(format!("open `{}`", path.display()))?;
    let attributes = Attributes {
        read_only: false,
        no_devices: false,
    };
    change_tree(tree.as_fd(), attributes).step(format!("show `{}`", path.display()))?;
    let order = sources.len();
    sources.push(Source {
        target: path,
        tree,
        is_directory: false,
        order,
    });
    Ok(())
}

/// The workspace as it was before anything in the session could change it.
pub(crate) struct FirstLook {
    /// Its files, but for the sockets that are covered.
    pub(crate) snapshot: Snapshot,
    /// How it is walked: past what is masked and covered.
    pub(crate) limits: WalkLimits,
    /// What others than git at the top run code by, and where links at pins lead: all that is there and no link.
    pinned: Vec<PathBuf>,
    /// Where links of it lead that lie at pins.
    pub(crate) led: Led,
    /// The devices of the directories that lie in memory, which nobody has but the session.
    pub(crate) in_memory: Vec<u64>,
    /// What all that took.
    pub(crate) cost: Duration,
}

/// Puts the root together at its base. Needs the capabilities of the new user namespace.
pub(crate) fn build(plan: &Plan, sources: Vec<Source>) -> Result<FirstLook, Failure> {
    tmpfs(BASE, "mode=0755,size=16m")?;
    let base =
        fs::open(BASE, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step("open the new root")?;
    for directory in [
        "dev",
        "dev/shm",
        "dev/pts",
        "proc",
        "tmp",
        "run",
        "run/agentguard",
        "var",
        ".old",
    ] {
        make_directory(base.as_fd(), Path::new(directory))?;
    }
    let size = size_in_memory(&plan.confinement.limits);
    let mut in_memory = Vec::new();
    for shared in ["tmp", "dev/shm"] {
        let path = format!("{BASE}/{shared}");
        tmpfs(&path, &format!("mode=1777,size={size}"))?;
        // Before anything of the host's can lie over it.
        let own = fs::stat(&path).step(format!("look at `/{shared}`"))?;
        in_memory.push(own.st_dev);
    }
    recreate_top_links(base.as_fd())?;
    for source in sources {
        attach(base.as_fd(), &source)
            .map_err(|failure| in_the_way(plan, &source.target, failure))?;
    }
    let pts = format!("{BASE}/dev/pts");
    // Without a bound it would have all that there are for everybody but the machine's own terminals.
    let options = c"newinstance,ptmxmode=0666,mode=0620,max=256";
    mount(
        "devpts",
        pts,
        "devpts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        Some(options),
    )
    .step("mount `/dev/pts`")?;
    for (target, link) in DEVICE_LINKS {
        fs::symlinkat(target, &base, link).step(format!("link `/{link}`"))?;
    }
    write_files(plan, base.as_fd())?;
    if let Some(hooks) = &plan.hooks {
        hooks::write(hooks, base.as_fd())?;
    }
    let (mut first_look, sockets) = look(plan, base.as_fd())?;
    first_look.in_memory = in_memory;
    if plan.without.contains(&Layer::Mounts) {
        return Ok(first_look);
    }
    let blanks = Blanks::make(base.as_fd())?;
    for mask in plan.confinement.masks.iter().chain(&sockets) {
        cover(base.as_fd(), &blanks, mask)?;
    }
    hold::pins(plan, base.as_fd())?;
    hold::within(plan, base.as_fd(), &first_look)?;
    Ok(first_look)
}

/// The size of each directory that lies in memory: never more than all memory together.
fn size_in_memory(limits: &Limits) -> u64 {
    let most = limits.memory_bytes.unwrap_or(u64::MAX);
    limits.temporary_bytes.min(most)
}

/// Walks the workspace for the first time. Sockets in it lead to whoever listens outside, and are to be
/// covered like what policy masks.
pub(crate) fn look(
    plan: &Plan,
    base: BorrowedFd<'_>,
) -> Result<(FirstLook, Vec<PathBuf>), Failure> {
    let began = Instant::now();
    let path = &plan.confinement.workspace;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let workspace = fs::openat2(base, relative(path), flags, Mode::empty(), beneath)
        .step(format!("open `{}`", path.display()))?;
    let masks = plan
        .confinement
        .masks
        .iter()
        .filter_map(|mask| mask.strip_prefix(path).ok());
    let mut limits = WalkLimits {
        masks: masks.map(PathBuf::from).collect(),
        ..WalkLimits::standard()
    };
    let mut snapshot = Snapshot::take(workspace.as_fd(), &limits);
    let sockets = snapshot.take_sockets();
    let is_granted = |socket: &PathBuf| plan.confinement.sockets.contains(socket);
    let covered = sockets.iter().map(|socket| path.join(socket));
    let covered = covered.filter(|socket| !is_granted(socket)).collect();
    limits.masks.extend(sockets);
    let mut pinned = snapshot.settings_of_repositories();
    pinned.extend(places::find(&plan.confinement, &snapshot));
    let led = Led::find(plan, &snapshot, &pinned, workspace.as_fd())?;
    pinned.extend(led.targets());
    pinned.retain(|path| {
        let kind = snapshot.kind_of(path.as_os_str().as_bytes());
        kind.is_some_and(|kind| kind != FileType::Symlink)
    });
    Ok((
        FirstLook {
            snapshot,
            limits,
            pinned,
            led,
            in_memory: Vec::new(),
            cost: began.elapsed(),
        },
        covered,
    ))
}

/// Builds the least of a root at its base, to see whether that can be done here.
pub(crate) fn try_out() -> Result<(), Failure> {
    tmpfs(BASE, "mode=0755,size=1m")?;
    let base =
        fs::open(BASE, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step("open the new root")?;
    for directory in ["proc", "usr", ".old"] {
        make_directory(base.as_fd(), Path::new(directory))?;
    }
    let usr = Path::new("/usr");
    if let Some(source) = open_source(usr, usr, Access::Read, true, None)? {
        attach(base.as_fd(), &source)?;
    }
    Ok(())
}

/// Mounts the session's own `/proc`. Called by its pid 1, before the old root goes.
pub(crate) fn mount_proc() -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", format!("{BASE}/proc"), "proc", flags, None).step("mount `/proc`")
}

/// Makes the new root the root, and lets go of the old one.
pub(crate) fn enter() -> Result<(), Failure> {
    let old = format!("{BASE}/.old");
    rustix::process::pivot_root(BASE, old.as_str()).step("enter the new root")?;
    rustix::process::chdir("/").step("enter the new root")?;
    unmount("/.old", UnmountFlags::DETACH).step("let go of the old root")?;
    fs::rmdir("/.old").step("let go of the old root")?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::BIND;
    mount_remount("/", flags, c"").step("make the root read-only")
}

fn tmpfs(target: &str, options: &str) -> Result<(), Failure> {
    let options = std::ffi::CString::new(options)
        .map_err(|error| Failure::new("mount a tmpfs", error.to_string()))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", target, "tmpfs", flags, Some(options.as_c_str()))
        .step(format!("mount a tmpfs at `{target}`"))
}

/// On systems with a merged `/usr`, `/bin` and its like are links, and cannot be bound.
fn recreate_top_links(base: BorrowedFd<'_>) -> Result<(), Failure> {
    for name in TOP {
        if let Ok(target) = fs::readlink(format!("/{name}"), Vec::new()) {
            fs::symlinkat(&target, base, name).step(format!("link `/{name}`"))?;
        }
    }
    Ok(())
}

fn attach(base: BorrowedFd<'_>, source: &Source) -> Result<(), Failure> {
    let inside = relative(&source.target);
    let place = make_place(base, inside, source.is_directory)?;
    move_onto(source.tree.as_fd(), place.as_fd())
        .step(format!("attach `{}`", source.target.display()))
}

/// What lies in the agent's home was written by an agent, and may stand where something is to appear.
fn in_the_way(plan: &Plan, target: &Path, failure: Failure) -> Failure {
    match target.strip_prefix(&plan.confinement.home) {
        Ok(inside) if !inside.as_os_str().is_empty() => {
            let place = plan.private_home.join(inside);
            let reason = format!(
                "{}: an earlier session left something else there: look at `{}`, and move it away",
                failure.reason,
                place.display()
            );
            Failure { reason, ..failure }
        }
        Ok(_) | Err(_) => failure,
    }
}

fn move_onto(tree: BorrowedFd<'_>, place: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", place, "", flags)
}

/// Opens `inside` as a place to mount on, made where it is missing. Links on the way are refused: what
/// lies in the agent's home was written by an agent.
fn make_place(base: BorrowedFd<'_>, inside: &Path, is_directory: bool) -> Result<OwnedFd, Failure> {
    let shown = || format!("make a place for `/{}`", inside.display());
    if let Ok(place) = open_plain(base, inside) {
        return Ok(place);
    }
    if let Some(parent) = inside.parent() {
        make_directory(base, parent)?;
    }
    let (parent, name) = parent_of(base, inside).step(shown())?;
    let made = if is_directory {
        fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))
    } else {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
    };
    match made {
        Ok(()) => open_plain(base, inside).step(shown()),
        // Another session of the agent's just made it, for the same; or the agent did, for whatever.
        Err(Errno::EXIST) => {
            let place = open_plain(base, inside).step(shown())?;
            let kind = FileType::from_raw_mode(fs::fstat(&place).step(shown())?.st_mode);
            let is_it = match is_directory {
                true => kind == FileType::Directory,
                false => kind == FileType::RegularFile,
            };
            is_it.then_some(place).ok_or(Errno::EXIST).step(shown())
        }
        Err(error) => Err(error).step(shown()),
    }
}

fn make_directory(base: BorrowedFd<'_>, inside: &Path) -> Result<(), Failure> {
    // Most are there already.
    if inside.as_os_str().is_empty() || is_plain_directory(base, inside) {
        return Ok(());
    }
    let mut so_far = PathBuf::new();
    for part in inside.components() {
        so_far.push(part);
        let shown = || format!("make the directory `/{}`", so_far.display());
        match parent_of(base, &so_far)
            .and_then(|(parent, name)| fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)))
        {
            Ok(()) | Err(Errno::EXIST) => {}
            // What is read-only and there already needs no making.
            Err(_) if open_plain(base, &so_far).is_ok() => {}
            Err(error) => return Err(error).step(shown()),
        }
    }
    Ok(())
}

fn is_plain_directory(base: BorrowedFd<'_>, inside: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    fs::openat2(base, inside, flags, Mode::empty(), beneath).is_ok()
}

fn parent_of<'p>(
    base: BorrowedFd<'_>,
    inside: &'p Path,
) -> rustix::io::Result<(OwnedFd, &'p OsStr)> {
    let name = inside.file_name().ok_or(Errno::INVAL)?;
    let parent = inside
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    Ok((open_plain(base, parent)?, name))
}

fn open_plain(base: BorrowedFd<'_>, inside: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    fs::openat2(
        base,
        inside,
        flags,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    )
}

fn write_files(plan: &Plan, base: BorrowedFd<'_>) -> Result<(), Failure> {
    for (number, file) in plan.files.iter().enumerate() {
        let shown = || format!("write `{}`", file.path.display());
        let kept = format!("run/agentguard/.{number}");
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let descriptor =
            fs::openat(base, kept.as_str(), flags, Mode::from_raw_mode(0o444)).step(shown())?;
        // It may be longer than what is written at once.
        let mut file_inside = std::fs::File::from(descriptor);
        file_inside.write_all(&file.content).step(shown())?;
        let tree = clone_tree(base, Path::new(&kept)).step(shown())?;
        change_tree(
            tree.as_fd(),
            Attributes {
                read_only: true,
                no_devices: true,
            },
        )
        .step(shown())?;
        let place = make_place(base, relative(&file.path), false)?;
        move_onto(tree.as_fd(), place.as_fd()).step(shown())?;
    }
    Ok(())
}

/// What covers paths: something that nobody may open.
struct Blanks {
    file: OwnedFd,
    directory: OwnedFd,
}

impl Blanks {
    fn make(base: BorrowedFd<'_>) -> Result<Self, Failure> {
        // What may be executed and not read is tried by shells, and then explained, and cannot be copied.
        let file = Self::one(base, "run/agentguard/.none", 0o111, false)?;
        let directory = Self::one(base, "run/agentguard/.blank", 0o000, true)?;
        Ok(Self { file, directory })
    }

    fn one(
        base: BorrowedFd<'_>,
        name: &str,
        mode: u32,
        is_directory: bool,
    ) -> Result<OwnedFd, Failure> {
        let step = "make something that nobody may open";
        let made = make_place(base, Path::new(name), is_directory)?;
        fs::chmodat(base, name, Mode::from_raw_mode(mode), AtFlags::empty()).step(step)?;
        Ok(made)
    }
}

/// Covers a path by something that nobody may open. Where nothing is, there is nothing to cover; where something
/// may come to be later, the mediator holds the mask (`replaceable`).
fn cover(base: BorrowedFd<'_>, blanks: &Blanks, path: &Path) -> Result<(), Failure> {
    let shown = || format!("mask `{}`", path.display());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = match fs::openat2(
        base,
        relative(path),
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    ) {
        Ok(place) => place,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(error).step(shown()),
    };
    let is_directory =
        FileType::from_raw_mode(fs::fstat(&place).step(shown())?.st_mode) == FileType::Directory;
    let blank = match is_directory {
        true => &blanks.directory,
        false => &blanks.file,
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(blank, "", flags).step(shown())?;
    change_tree(
        tree.as_fd(),
        Attributes {
            read_only: true,
            no_devices: true,
        },
    )
    .step(shown())?;
    move_onto(tree.as_fd(), place.as_fd()).step(shown())
}

fn clone_tree(base: BorrowedFd<'_>, inside: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    open_tree(base, inside, flags)
}

fn is_directory(path: &Path) -> bool {
    fs::lstat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// Where the resolver's configuration is a link out of `/etc`, what it points to.
fn resolver_outside_etc() -> Option<PathBuf> {
    let target = fs::readlink("/etc/resolv.conf", Vec::new()).ok()?;
    let target = Path::new("/etc").join(Path::new(OsStr::new(target.to_str().ok()?)));
    let plain = target.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => path.push(part),
        }
        path
    });
    Some(plain).filter(|path| !path.starts_with("/etc"))
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let name = format!("agentguard-root-{name}-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).unwrap();
        root
    }

    /// Sessions of one agent share its home.
    #[test]
    fn a_place_that_another_session_makes_at_the_same_moment_is_taken() {
        let root = directory("places");
        let base = fs::open(&root, OFlags::PATH, Mode::empty()).unwrap();
        let all = std::sync::Barrier::new(4);
        for turn in 0..500 {
            let inside = PathBuf::from(format!("{turn}/below/place"));
            let make = |is_directory| {
                all.wait();
                make_place(base.as_fd(), &inside, is_directory).map(drop)
            };
            let is_directory = turn % 2 == 0;
            let made: Vec<_> = std::thread::scope(|scope| {
                let threads = [0; 4].map(|_| scope.spawn(|| make(is_directory)));
                threads.map(|thread| thread.join().unwrap()).into()
            });
            assert!(made.iter().all(Result::is_ok), "{made:?}");
            assert_eq!(root.join(&inside).is_dir(), is_directory);
        }
        std::fs::remove_dir_all(&root).unwrap();
    }

    /// As an agent may put it there, also while its next session begins.
    #[test]
    fn a_place_that_is_a_link_by_then_is_none() {
        let root = directory("links");
        std::fs::create_dir(root.join("outside")).unwrap();
        let base = fs::open(&root, OFlags::PATH, Mode::empty()).unwrap();
        let (stop, all) = (std::sync::atomic::AtomicBool::new(false), &root);
        let (mut taken, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = std::os::unix::fs::symlink("outside", all.join("place"));
                    let _ = std::fs::remove_file(all.join("place"));
                }
            });
            // Beside other work either may come only now and then.
            let is_enough = |turn, taken, refused| turn >= 5000 && taken > 0 && refused > 0;
            for turn in 0..1_000_000 {
                if is_enough(turn, taken, refused) {
                    break;
                }
                match make_place(base.as_fd(), Path::new("place/below"), true) {
                    Ok(place) => {
                        let found = std::fs::symlink_metadata(root.join("place"));
                        assert!(found.is_ok_and(|found| found.is_dir()));
                        drop(place);
                        taken += 1;
                        std::fs::remove_dir_all(root.join("place")).unwrap();
                    }
                    Err(_) => refused += 1,
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
        assert!(
            std::fs::read_dir(root.join("outside"))
                .unwrap()
                .next()
                .is_none()
        );
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_workspace_is_opened_past_no_link() {
        let root = directory("workspace");
        std::fs::create_dir_all(root.join("outside/below")).unwrap();
        std::os::unix::fs::symlink("outside", root.join("link")).unwrap();
        for path in ["link", "link/below"] {
            let failure = open_workspace(&root.join(path), None).err().unwrap();
            assert_eq!(failure.errno, Some(libc::ELOOP), "{path}");
        }
        std::fs::remove_dir_all(&root).unwrap();
    }
}
