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
    let _ = fs::remove_file(hierarchy.0.join("agentguard-left/cgroup.kill"));
    place.sweep();
    assert!(!hierarchy.0.join("agentguard-used/cgroup.kill").exists());
    assert!(!hierarchy.0.join("other/cgroup.kill").exists());
}

#[test]
fn events_are_counted_by_their_whole_name() {
    let text = "low 0\nhigh 0\nmax 17\noom 3\noom_kill 2\noom_group_kill 1\n";
    assert_eq!(counted(text, "oom_kill"), 2);
    assert_eq!(counted(text, "oom"), 3);
    assert_eq!(counted(text, "max"), 17);
    assert_eq!(counted("", "max"), 0);
}

#[test]
fn a_mount_of_a_part_is_told_from_one_of_the_whole() {
    let mounts = "30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  31 24 0:27 /user.slice /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
    assert_eq!(mount(mounts), Some(("/user.slice", "/sys/fs/cgroup")));
    assert_eq!(mount("1 2 0:1 / / rw - ext4 /dev/vda rw\n"), None);
}
