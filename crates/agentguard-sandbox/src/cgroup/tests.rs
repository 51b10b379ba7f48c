use super::*;

/// Directories and files that look like a hierarchy of cgroups.
struct Hierarchy(PathBuf);

impl Hierarchy {
    fn new(name: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("agentguard-cgroup-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        Self(root)
    }

    fn group(&self, path: &str, files: &[(&str, &str)]) -> PathBuf {
        let directory = self.0.join(path);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("cgroup.procs"), "").unwrap();
        for (file, text) in files {
            fs::write(directory.join(file), text).unwrap();
        }
        directory
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const ALL: &str = "cpu memory pids";

#[test]
fn the_nearest_group_that_hands_down_is_taken_with_the_bounds_on_the_way() {
    let hierarchy = Hierarchy::new("near");
    let top = hierarchy.group("", &[("cgroup.subtree_control", ALL)]);
    let slice = hierarchy.group(
        "app",
        &[("cgroup.subtree_control", ALL), ("cgroup.type", "domain")],
    );
    let own = hierarchy.group(
        "app/own",
        &[
            ("cgroup.subtree_control", ""),
            ("cgroup.controllers", ALL),
            ("cgroup.type", "domain"),
            ("memory.max", "1000\n"),
            ("pids.max", "max\n"),
        ],
    );
    let place = Place::from(&top, &own).unwrap();
    assert_eq!(place.directory, slice);
    assert!(!place.is_to_hand_down);
    let above = Above {
        memory: Some(1000),
        processes: None,
    };
    assert_eq!(place.above, above);
    assert_eq!(least(Some(2000), above.memory), Some(1000));
}

#[test]
fn the_first_group_of_all_is_made_to_hand_down() {
    let hierarchy = Hierarchy::new("first");
    let files = [("cgroup.subtree_control", ""), ("cgroup.controllers", ALL)];
    let top = hierarchy.group("", &files);
    let place = Place::from(&top, &top).unwrap();
    assert!(place.is_to_hand_down);
    place.hand_down().unwrap();
    let written = fs::read_to_string(top.join("cgroup.subtree_control")).unwrap();
    assert_eq!(written, "+memory +pids");
    // In any other group a process of ours is in the way.
    fs::write(top.join("cgroup.type"), "domain").unwrap();
    assert!(Place::from(&top, &top).is_err());
}

#[test]
fn without_controllers_there_is_none_and_it_is_said() {
    let hierarchy = Hierarchy::new("none");
    let files = [
        ("cgroup.subtree_control", ""),
        ("cgroup.controllers", "hugetlb"),
    ];
    let top = hierarchy.group("", &files);
    let failure = Place::from(&top, &top).unwrap_err();
    assert!(failure.reason.contains("`memory`"), "{failure:?}");
}

#[test]
fn groups_of_guards_that_were_killed_are_removed_and_those_in_use_are_not() {
    let hierarchy = Hierarchy::new("sweep");
    for name in ["agentguard-left", "agentguard-used", "other"] {
        fs::create_dir(hierarchy.0.join(name)).unwrap();
    }
    let used = fs::File::open(hierarchy.0.join("agentguard-used")).unwrap();
    flock(&used, FlockOperation::LockShared).unwrap();
    let place = Place {
        directory: hierarchy.0.clone(),
        above: Above::default(),
        is_to_hand_down: false,
    };
    place.sweep();
    // Where `cgroup.kill` is no file of the kernel's, it stays in the way of its directory.
    let killed = fs::read_to_string(hierarchy.0.join("agentguard-left/cgroup.kill"));
    assert_eq!(killed.unwrap(), "1");
    assert!(!hierarchy.0.join("agentguard-used/cgroup.kill").exists());
    assert!(!hierarchy.0.join("other/cgroup.kill").exists());
}

#[test]
fn every_group_on_the_way_bounds() {
    let hierarchy = Hierarchy::new("way");
    let top = hierarchy.group("", &[("cgroup.subtree_control", ALL)]);
    let group = |path, memory, processes| {
        let none = ("cgroup.subtree_control", "");
        let files = [none, ("memory.max", memory), ("pids.max", processes)];
        hierarchy.group(path, &files)
    };
    group("a", "1000", "20");
    let own = group("a/own", "500", "10");
    let above = Place::from(&top, &own).unwrap().above;
    assert_eq!((above.memory, above.processes), (Some(500), Some(10)));
}

#[test]
fn no_group_is_taken_that_lies_above_or_could_not_bound() {
    let hierarchy = Hierarchy::new("none-above");
    hierarchy.group("", &[("cgroup.subtree_control", ALL)]);
    let place = |files: &[(&str, &str)], own: &str| {
        let top = hierarchy.group("top", files);
        let own = hierarchy.group(&format!("top/{own}"), &[]);
        Place::from(&top, &own).is_ok()
    };
    assert!(place(&[("cgroup.subtree_control", ALL)], "own"));
    for one in ["cpu memory", "cpu pids"] {
        let files = [("cgroup.subtree_control", one), ("cgroup.controllers", one)];
        assert!(!place(&files, "own"), "{one}");
    }
    // It could be made to hand down, where this process is, and not from below.
    let first = [("cgroup.subtree_control", ""), ("cgroup.controllers", ALL)];
    assert!(place(&first, "") && !place(&first, "own"));
    let top = hierarchy.group("top", &[("cgroup.subtree_control", ALL)]);
    fs::remove_file(top.join("cgroup.procs")).unwrap();
    assert!(Place::from(&top, &top).is_err());
}

#[test]
fn a_group_has_the_strictest_bounds_and_is_locked_for_as_long_as_it_lives() {
    let limits = |memory_bytes| Limits {
        processes: 100,
        files: 10,
        memory_bytes,
        temporary_bytes: 1,
        seconds: None,
        held: agentguard_core::Held::Session,
    };
    let hierarchy = Hierarchy::new("bound");
    for (above, own, bounds) in [
        ((None, None), Some(5000), ["100", "5000", "0"]),
        ((Some(1000), Some(7)), Some(5000), ["7", "1000", "0"]),
        ((Some(9000), Some(900)), Some(5000), ["100", "5000", "0"]),
        ((Some(1000), None), None, ["100", "1000", "max"]),
    ] {
        let directory = hierarchy.group("agentguard-one", &[("memory.swap.max", "max")]);
        let (memory, processes) = above;
        let place = Place {
            directory: hierarchy.0.clone(),
            above: Above { memory, processes },
            is_to_hand_down: false,
        };
        let group = SessionGroup::bound(directory.clone(), &place, &limits(own)).unwrap();
        let set = ["pids.max", "memory.max", "memory.swap.max"]
            .map(|file| fs::read_to_string(directory.join(file)).unwrap());
        assert_eq!(set, bounds);
        let killed = directory.join("cgroup.kill");
        place.sweep();
        assert!(!killed.exists(), "another session took it for a left one");
        drop(group);
        assert_eq!(fs::read_to_string(killed).unwrap(), "1");
        fs::remove_dir_all(&directory).unwrap();
    }
}

#[test]
fn events_are_counted_by_their_whole_name() {
    let text = "low 0\nhigh 0\nmax 17\noom 3\noom_kill 2\noom_group_kill 1\n";
    assert_eq!(counted(text, "oom_kill"), 2);
    assert_eq!(counted(text, "oom"), 3);
    assert_eq!(counted(text, "max"), 17);
    assert_eq!(counted("oom_kill 2\noom 3\n", "oom"), 3);
    assert_eq!(counted("oom_kill2\n", "oom_kill"), 0);
    assert_eq!(counted("", "max"), 0);
}

#[test]
fn a_mount_of_a_part_is_told_from_one_of_the_whole() {
    let mounts = "30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  31 24 0:27 /user.slice /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
    assert_eq!(mount(mounts), Some(("/user.slice", "/sys/fs/cgroup")));
    assert_eq!(mount("1 2 0:1 / / rw - ext4 /dev/vda rw\n"), None);
}
