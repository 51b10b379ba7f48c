//! Directories of policies that are not what they should be.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use super::tiers::Folder;
use crate::{Policies, Sources};

fn of_user(folder: &Folder) -> Sources {
    Sources {
        org: None,
        user: Some(folder.path().to_owned()),
        repository: None,
    }
}

fn of_organisation(directory: &Path) -> Sources {
    Sources {
        org: Some(directory.to_owned()),
        user: None,
        repository: None,
    }
}

#[test]
fn a_directory_that_is_there_and_says_nothing_is_a_mistake() {
    for (name, files) in [
        ("nothing", &[][..]),
        ("others", &[("README.md", ""), ("deny.yaml", "")]),
    ] {
        let folder = Folder::new(name, files);
        let error = Policies::load(&of_user(&folder)).err().unwrap().to_string();
        assert!(error.contains("it holds no policy"), "{error}");
    }
    let denying = Folder::new("denying", &[("deny.toml", "schema = 1\n")]);
    Policies::load(&of_user(&denying)).unwrap();
}

#[test]
fn what_somebody_else_can_write_is_no_organisations() {
    let folder = Folder::new("organisation", &[("policy/a.rego", "package a\n")]);
    let above = folder.path();
    let directory = above.join("policy");
    let file = directory.join("a.rego");
    let refused = |of: &Path| {
        let error = of_organisation(&directory).check_organisation();
        let error = error.unwrap_err().to_string();
        let words = "somebody other than root can write it";
        assert!(
            error.contains(words) && error.contains(of.to_str().unwrap()),
            "{error}"
        );
    };
    if !rustix::process::geteuid().is_root() {
        refused(above);
        println!("what root alone can write is not looked at: only root can make it");
        return;
    }
    for path in [above, &directory, &file] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        of_organisation(&directory).check_organisation().unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode | 0o002)).unwrap();
        refused(path);
        fs::set_permissions(path, Permissions::from_mode(mode | 0o020)).unwrap();
        of_organisation(&directory).check_organisation().unwrap(); // of root's own group
        chown(path, None, Some(1000)).unwrap();
        refused(path);
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        of_organisation(&directory).check_organisation().unwrap();
        chown(path, Some(1000), Some(0)).unwrap();
        refused(path);
        // Of nobody who is mapped elsewhere: here it is somebody.
        chown(path, Some(65_534), None).unwrap();
        refused(path);
        chown(path, Some(0), None).unwrap();
    }
}
