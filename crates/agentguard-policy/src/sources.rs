//! Where policies come from: directories read once, and the policies that ship.

use std::borrow::Cow;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use agentguard_core::{Digest, Tier, TierDigest};

use crate::Error;

/// A policy file larger than this is none.
const MOST_BYTES: u64 = 1 << 20;
/// A directory with more files than this is none.
const MOST_FILES: usize = 256;

/// The directories policies are read from. One that is named must exist; one that is `None` is absent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sources {
    /// The organisation's, `/etc/agentguard/policy`.
    pub org: Option<PathBuf>,
    /// The user's, or the one named by `--policy`.
    pub user: Option<PathBuf>,
    /// The repository's own, `.agentguard/policy`. Links in it are not followed.
    pub repository: Option<PathBuf>,
}

impl Sources {
    /// Looks whether nobody but root can change what the organisation says: whoever could, could allow anything.
    ///
    /// # Errors
    ///
    /// Returns an error that names what somebody else can write, or what cannot be looked at.
    pub fn check_organisation(&self) -> Result<(), Error> {
        let Some(directory) = &self.org else {
            return Ok(());
        };
        for above in directory.parent().into_iter().chain([directory.as_path()]) {
            roots_alone(above)?;
        }
        for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
            roots_alone(&entry.map_err(unreadable(directory))?.path())?;
        }
        Ok(())
    }
}

/// The files of one tier.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Source {
    pub(crate) tier: Tier,
    /// What goes before a file's name in messages.
    pub(crate) directory: String,
    pub(crate) files: Vec<File>,
    /// Whether these are the files compiled in, which tests checked. Nothing that is read is.
    #[serde(skip)]
    pub(crate) embedded: bool,
}

/// One file: its name within the tier, and its text.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) text: Cow<'static, str>,
}

impl Source {
    /// A file's path as messages name it.
    pub(crate) fn path(&self, file: &File) -> String {
        format!("{}/{}", self.directory, file.name)
    }

    /// The digest of all files: each name and text, each with its length.
    pub(crate) fn digest(&self) -> TierDigest {
        let mut bytes = Vec::new();
        for part in self
            .files
            .iter()
            .flat_map(|file| [&*file.name, &*file.text])
        {
            bytes.extend_from_slice(part.len().to_string().as_bytes());
            bytes.push(b':');
            bytes.extend_from_slice(part.as_bytes());
        }
        TierDigest {
            tier: self.tier,
            digest: Digest::of(&bytes),
        }
    }
}

/// Reads every tier that is there, highest authority first; the shipped files come last.
pub(crate) fn read_all(sources: &Sources) -> Result<Vec<Source>, Error> {
    let places = [
        (Tier::Org, &sources.org),
        (Tier::User, &sources.user),
        (Tier::Repository, &sources.repository),
    ];
    let mut all = Vec::new();
    for (tier, directory) in places {
        if let Some(directory) = directory {
            all.push(read_tier(tier, directory)?);
        }
    }
    all.push(crate::shipped::source());
    Ok(all)
}

/// A tier's Rego over that of `library`, of which files with the same name give way.
pub(crate) fn over<'a>(
    source: &'a Source,
    library: &[(&'a Source, &'a File)],
) -> Vec<(&'a Source, &'a File)> {
    let own = source.files.iter().map(|file| (source, file));
    let is_replaced = |name: &str| source.files.iter().any(|file| file.name == name);
    let below = library.iter().copied();
    let below = below.filter(|(_, file)| !is_replaced(&file.name));
    own.chain(below)
        .filter(|(_, file)| file.name.ends_with(".rego"))
        .collect()
}

fn read_tier(tier: Tier, directory: &Path) -> Result<Source, Error> {
    let mut files = Vec::new();
    if tier == Tier::Repository {
        // Both are the repository's to make: `.agentguard`, and what it holds.
        for plain in directory.parent().into_iter().chain([directory]) {
            plain_directory(plain)?;
        }
    }
    for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
        let entry = entry.map_err(unreadable(directory))?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        let is_policy = name.ends_with(".rego") || name == "deny.toml";
        if !is_policy || name.starts_with('.') {
            continue;
        }
        let text = read_file(tier, &path)?;
        files.push(File {
            name,
            text: text.into(),
        });
        if files.len() > MOST_FILES {
            return Err(unfit(directory, "it holds more than 256 files"));
        }
    }
    if files.is_empty() {
        // Nobody makes such a directory to say nothing: what was to stand there is missing.
        return Err(unfit(
            directory,
            "it holds no policy: no `*.rego` file and no `deny.toml`",
        ));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Source {
        tier,
        directory: directory.display().to_string(),
        files,
        embedded: false,
    })
}

fn plain_directory(path: &Path) -> Result<(), Error> {
    let kind = fs::symlink_metadata(path).map_err(unreadable(path))?;
    if kind.is_dir() {
        Ok(())
    } else {
        Err(unfit(path, "it is not a directory of its own"))
    }
}

/// That nobody but root can write it.
fn roots_alone(path: &Path) -> Result<(), Error> {
    let found = fs::metadata(path).map_err(unreadable(path))?;
    let is_roots = found.uid() == 0 || (found.uid() == UNMAPPED && !is_mapped(UNMAPPED)?);
    let by_group = found.mode() & 0o020 != 0 && found.gid() != 0;
    if is_roots && !by_group && found.mode() & 0o002 == 0 {
        return Ok(());
    }
    Err(unfit(
        path,
        "it is the organisation's, and somebody other than root can write it",
    ))
}

/// Who owns what belongs to nobody of a user namespace, as root's files in the namespace of an ordinary user.
const UNMAPPED: u32 = 65_534;

/// Whether somebody here has this number.
///
/// # References
///
/// - <https://man7.org/linux/man-pages/man7/user_namespaces.7.html>
fn is_mapped(number: u32) -> Result<bool, Error> {
    let path = Path::new("/proc/self/uid_map");
    let map = fs::read_to_string(path).map_err(unreadable(path))?;
    Ok(map.lines().any(|line| {
        let mut words = line.split_whitespace().map(str::parse::<u32>);
        let (first, count) = (words.next(), words.nth(1));
        matches!((first, count), (Some(Ok(first)), Some(Ok(count))) if number.wrapping_sub(first) < count)
    }))
}

/// Reads one regular file, bounded. What a repository holds may be a link to anywhere: not followed.
fn read_file(tier: Tier, path: &Path) -> Result<String, Error> {
    let link = match tier {
        Tier::Repository => OFlags::NOFOLLOW,
        Tier::User | Tier::Org | Tier::Shipped => OFlags::empty(),
    };
    // A session may work there at this very moment: what was opened is looked at, and opening never waits.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = match open(path, flags | link, Mode::empty()) {
        Ok(file) => fs::File::from(file),
        Err(Errno::LOOP | Errno::NXIO) => return Err(unfit(path, "it is not a regular file")),
        Err(error) => return Err(unreadable(path)(error.into())),
    };
    if !file.metadata().map_err(unreadable(path))?.is_file() {
        return Err(unfit(path, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable(path))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MOST_BYTES {
        return Err(unfit(path, "it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| unfit(path, "it is not UTF-8"))
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Unreadable { path, source }
}

fn unfit(path: &Path, reason: &str) -> Error {
    Error::Unfit {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
