//! The most memory that a guard had, with what it started outside its session.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often it is looked: memory that is held for less is nobody's trouble.
const OFTEN: Duration = Duration::from_millis(100);

/// In kibibytes, by name: all that each had, and what of it no file stands for.
type Most = BTreeMap<String, (u64, u64)>;

pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    watching: JoinHandle<(Most, usize)>,
}

impl Watch {
    /// Looks at a process and at its children that are programs of ours, until it is told to end.
    pub(crate) fn begin(guard: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let watching = thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                let (mut most, mut descriptors) = (Most::new(), 0);
                while !is_over.load(Ordering::Relaxed) {
                    for (name, id) in processes(guard) {
                        let peak = most.entry(name).or_insert((0, 0));
                        peak.0 = u64::max(peak.0, kibibytes(id, "VmHWM:"));
                        peak.1 = u64::max(peak.1, kibibytes(id, "RssAnon:"));
                        descriptors = descriptors.max(open(id));
                    }
                    // Looking without a pause would take the processor from what is measured.
                    thread::sleep(OFTEN);
                }
                (most, descriptors)
            }
        });
        Self { is_over, watching }
    }

    /// The most that each of them had, as it is shown.
    pub(crate) fn end(self) -> String {
        self.is_over.store(true, Ordering::Relaxed);
        let (most, descriptors) = self.watching.join().unwrap();
        let shown: Vec<_> = most
            .iter()
            .map(|(name, (all, own))| {
                format!("{name} {} MiB, {} of no file's", all / 1024, own / 1024)
            })
            .collect();
        format!("{}, at most {descriptors} descriptors", shown.join(", "))
    }
}

fn processes(guard: u32) -> Vec<(String, u32)> {
    let children = fs::read_dir(format!("/proc/{guard}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let children = children.flat_map(|task| {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let ids: Vec<u32> = text
            .split_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect();
        ids
    });
    let named = |id: u32| {
        let name = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let name = name
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default()
            .to_vec();
        let name = String::from_utf8_lossy(&name).into_owned();
        (name.rsplit('/').next().unwrap_or_default().to_owned(), id)
    };
    let mut all: Vec<_> = children.map(named).collect();
    all.push(named(guard));
    all
}

/// What it has in memory, in kibibytes (proc(5)): `VmHWM` is the most it ever had, `RssAnon` what no file stands for.
fn kibibytes(process: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.map_or(0, |number| number.parse().unwrap())
}

fn open(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}
