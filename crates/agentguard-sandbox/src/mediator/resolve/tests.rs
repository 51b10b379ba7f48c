use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A directory of its own, gone when dropped.
struct Ground(PathBuf);

impl Ground {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "agentguard-resolve-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let root = std::env::temp_dir().join(name);
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/file"), "x").unwrap();
        symlink("a", root.join("to-a")).unwrap();
        symlink(root.join("a/b"), root.join("to-b")).unwrap();
        symlink("a/missing", root.join("dangling")).unwrap();
        symlink("round", root.join("round")).unwrap();
        Self(root)
    }

    fn named(&self, path: &str) -> Named {
        named(&format!("{}/{path}", self.0.display()))
    }

    fn inside(&self, path: &str) -> Vec<u8> {
        let path = self.0.join(path);
        path.as_os_str().as_bytes().to_vec()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn named(path: &str) -> Named {
    Named {
        at: None,
        path: path.as_bytes().to_vec(),
    }
}

fn processes() -> Processes {
    Processes::new(fs::open("/proc", DIRECTORY, Mode::empty()).unwrap())
}

fn myself() -> Pid {
    rustix::process::getpid()
}

fn place(path: &Named) -> Result<(Vec<u8>, Vec<u8>)> {
    let processes = processes();
    let place = Resolver::new(&processes, myself()).place(path)?;
    let parent = processes.path_of_bytes(place.parent.as_fd())?;
    Ok((parent, place.name))
}

/// Walked part by part, whether or not that is needed.
fn walked(path: &str, follow: bool) -> Result<Vec<u8>> {
    let processes = processes();
    let found = Resolver::new(&processes, myself()).walk(None, path.as_bytes(), follow)?;
    processes.path_of_bytes(found.as_fd())
}

#[test]
fn a_place_is_its_directory_and_a_name_however_the_path_is_written() {
    let ground = Ground::new();
    for (path, parent, name) in [
        ("new", "", "new"),
        ("a/new", "a", "new"),
        ("a//./b/../new", "a", "new"),
        ("to-a/new", "a", "new"),
        ("to-b/../new", "a", "new"),
        ("a/b/", "a", "b/"),
        ("a/..", "a", ".."),
        ("to-b", "", "to-b"),
    ] {
        let found = place(&ground.named(path)).unwrap();
        let parent = match parent {
            "" => ground.inside("."),
            parent => ground.inside(parent),
        };
        let parent = parent.strip_suffix(b"/.").unwrap_or(&parent);
        assert_eq!(found, (parent.to_vec(), name.as_bytes().to_vec()), "{path}");
    }
    assert_eq!(
        place(&named("///")).unwrap(),
        (b"/".to_vec(), b".".to_vec())
    );
}

#[test]
fn errors_are_the_kernels() {
    let ground = Ground::new();
    let long = "x/".repeat(LONGEST / 2);
    for (path, errno) in [
        ("missing/new", Errno::NOENT),
        ("a/file/new", Errno::NOTDIR),
        ("round/new", Errno::LOOP),
        ("dangling/new", Errno::NOENT),
        (long.as_str(), Errno::NAMETOOLONG),
    ] {
        assert_eq!(place(&ground.named(path)).unwrap_err(), errno, "{path}");
    }
    assert_eq!(place(&named("")).unwrap_err(), Errno::NOENT);
    let closed = Named {
        at: Some(9999),
        path: b"x".to_vec(),
    };
    assert_eq!(place(&closed).unwrap_err(), Errno::BADF);
}

#[test]
fn a_descriptor_and_the_working_directory_are_where_relative_paths_begin() {
    use std::os::fd::AsRawFd as _;
    let ground = Ground::new();
    let directory = fs::open(ground.0.join("a"), DIRECTORY, Mode::empty()).unwrap();
    let from = Named {
        at: Some(directory.as_raw_fd()),
        path: b"../new".to_vec(),
    };
    assert_eq!(place(&from).unwrap().0, ground.0.as_os_str().as_bytes());
    let here = std::env::current_dir().unwrap();
    let found = place(&named("new")).unwrap().0;
    assert_eq!(found, here.as_os_str().as_bytes());
}

#[test]
fn walking_comes_to_where_the_kernel_comes_to() {
    let ground = Ground::new();
    for path in ["a", "to-a", "to-b/..", "a/./b//", "to-a/b/../file", "to-b/"] {
        let path = format!("{}/{path}", ground.0.display());
        let file = fs::open(&path, OFlags::PATH, Mode::empty()).unwrap();
        let expected = processes().path_of_bytes(file.as_fd()).unwrap();
        assert_eq!(walked(&path, true).unwrap(), expected, "{path}");
    }
    let link = format!("{}/to-a", ground.0.display());
    assert_eq!(walked(&link, false).unwrap(), link.as_bytes());
    let slash = format!("{link}/");
    assert_eq!(walked(&slash, false).unwrap(), ground.inside("a"));
    let round = format!("{}/round", ground.0.display());
    assert_eq!(walked(&round, true).unwrap_err(), Errno::LOOP);
    let file = format!("{}/a/file/", ground.0.display());
    assert_eq!(walked(&file, true).unwrap_err(), Errno::NOTDIR);
}

#[test]
fn a_dangling_link_leads_to_a_name_that_is_not_there() {
    let ground = Ground::new();
    let processes = processes();
    let mut resolver = Resolver::new(&processes, myself());
    let link = resolver.place(&ground.named("dangling")).unwrap();
    let target = resolver.place_of_link(link).unwrap();
    assert_eq!(target.name, b"missing");
    let parent = processes.path_of_bytes(target.parent.as_fd()).unwrap();
    assert_eq!(parent, ground.inside("a"));
    let mut round = resolver.place(&ground.named("round")).unwrap();
    let error = loop {
        match resolver.place_of_link(round) {
            Ok(next) => round = next,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::LOOP);
}

#[test]
fn what_the_caller_holds_is_found_and_what_others_hold_is_not() {
    use std::os::fd::AsRawFd as _;
    let ground = Ground::new();
    let file = std::fs::File::open(ground.0.join("a/file")).unwrap();
    let number = file.as_raw_fd();
    let own = std::process::id();
    for path in [
        format!("/proc/self/fd/{number}"),
        format!("/proc/thread-self/fd/{number}"),
        format!("/proc/{own}/fd/{number}"),
        format!("/proc/self/task/{own}/fd/{number}"),
        format!("/proc/mounts/../fd/{number}"),
    ] {
        let found = walked(&path, true);
        if path.contains("mounts") {
            assert_eq!(found.unwrap_err(), Errno::NOTDIR, "{path}");
        } else {
            assert_eq!(found.unwrap(), ground.inside("a/file"), "{path}");
        }
    }
    let here = std::env::current_dir().unwrap();
    let cwd = walked("/proc/self/cwd/.", true).unwrap();
    assert_eq!(cwd, here.as_os_str().as_bytes());
    // Its parent is another process, and this one may look at it, as the mediator may at all of them.
    let other = rustix::process::getppid().unwrap().as_raw_nonzero();
    for path in [
        format!("/proc/{other}/cwd/x"),
        format!("/proc/{other}/fd/0"),
    ] {
        assert_eq!(walked(&path, true).unwrap_err(), Errno::ACCESS, "{path}");
    }
}

#[test]
fn a_file_is_pinned_itself_or_what_it_links_to() {
    let ground = Ground::new();
    let processes = processes();
    let find = |path: &Named, follow| {
        let found = Resolver::new(&processes, myself()).file(path, follow)?;
        processes.path_of_bytes(found.as_fd())
    };
    assert_eq!(
        find(&ground.named("to-b"), true).unwrap(),
        ground.inside("a/b")
    );
    assert_eq!(
        find(&ground.named("to-b"), false).unwrap(),
        ground.inside("to-b")
    );
    assert_eq!(
        find(&ground.named("to-a/file"), false).unwrap(),
        ground.inside("a/file")
    );
    assert_eq!(
        find(&ground.named("missing"), true).unwrap_err(),
        Errno::NOENT
    );
    let exe = find(&named("/proc/self/exe"), true).unwrap();
    let own = std::env::current_exe().unwrap();
    assert_eq!(exe, own.as_os_str().as_bytes());
}
