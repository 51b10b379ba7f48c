//! What becomes of the workspace: its files and its repository's refs, recorded as they move.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use agentguard_core::RefMove;
use rustix::fs::{self, Mode, OFlags};

use crate::difference::{Debounce, Difference, Nested, Scripts, Snapshot, WalkLimits, difference};
use crate::error::{Error, Failure, Step};
use crate::plan::Plan;
use crate::repository::{Refs, Repository, moved_refs};
use crate::root::{FirstLook, Led};
use crate::wire::{FromMediator, PIECE, pieces, send};

/// Commits reported at once; more are said to be more.
const MOST_COMMITS: usize = 1000;

/// The workspace as it was last seen.
pub(super) struct Watch {
    workspace: OwnedFd,
    limits: WalkLimits,
    snapshot: Snapshot,
    scripts: Scripts,
    nested: Nested,
    repository: Option<Repository>,
    refs: Option<Refs>,
    debounce: Debounce,
    begun: Instant,
}

impl Watch {
    /// Goes on from what the workspace was when its root was built.
    pub(super) fn begin(plan: &Plan, first: FirstLook) -> Result<Self, Failure> {
        let begun = Instant::now();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = &plan.confinement.workspace;
        let workspace =
            fs::open(path, flags, Mode::empty()).step(format!("open `{}`", path.display()))?;
        let root =
            fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step("open the root")?;
        let FirstLook {
            snapshot,
            limits,
            led,
            cost,
            ..
        } = first;
        // A repository that cannot be read is recorded as its files are, and without commits.
        let repository = Repository::find(workspace.as_fd(), path, root.as_fd())
            .ok()
            .flatten();
        let refs = repository.as_ref().map(Repository::refs);
        let scripts = Scripts::take(&snapshot, workspace.as_fd());
        let debounce = Debounce::new(std::time::Duration::ZERO, cost + begun.elapsed());
        Ok(Self {
            workspace,
            limits,
            snapshot,
            scripts,
            nested: Nested::new(&plan.confinement, led),
            repository,
            refs,
            debounce,
            begun,
        })
    }

    /// Where links at pins led at the beginning.
    pub(super) fn led(&self) -> &Led {
        self.nested.led()
    }

    /// The refs as lines `name id`, and the branch checked out.
    pub(super) fn start_of_session(&self) -> (Vec<String>, Option<String>) {
        let Some(refs) = &self.refs else {
            return (Vec::new(), None);
        };
        let lines: Vec<String> = refs
            .refs
            .iter()
            .map(|(name, id)| format!("{name} {id}"))
            .collect();
        // No entry holds so many: none are named then.
        let fits = lines.iter().map(String::len).sum::<usize>() < PIECE;
        let lines = if fits { lines } else { Vec::new() };
        (lines, refs.branch().map(str::to_owned))
    }

    /// Looks again, where that is due, and tells what it finds.
    pub(super) fn look(&mut self, control: BorrowedFd<'_>) -> Result<(), Error> {
        let began = self.begun.elapsed();
        if !self.debounce.may_walk(began) {
            return Ok(());
        }
        if self.tell_refs(control)? {
            self.tell_files(control)?;
        }
        self.debounce
            .walked(self.begun.elapsed().saturating_sub(began));
        Ok(())
    }

    /// Looks for the last time.
    pub(super) fn finish(&mut self, control: BorrowedFd<'_>) -> Result<(), Error> {
        self.tell_files(control)?;
        self.tell_refs(control)?;
        Ok(())
    }

    fn tell_refs(&mut self, control: BorrowedFd<'_>) -> Result<bool, Error> {
        let (Some(repository), Some(old)) = (&mut self.repository, &mut self.refs) else {
            return Ok(false);
        };
        let new = repository.refs();
        let moved = moved_refs(old, &new);
        if moved.is_empty() {
            return Ok(false);
        }
        let found = repository.new_commits(old, &new, MOST_COMMITS);
        *old = new;
        let size = |one: &RefMove| {
            let ends = [&one.old, &one.new].into_iter().flatten();
            one.name.len() + ends.map(String::len).sum::<usize>()
        };
        let mut commits = found.commits;
        for moved in pieces(moved, size) {
            send(
                control,
                &FromMediator::Moved {
                    moved,
                    commits: std::mem::take(&mut commits),
                    complete: found.complete,
                },
            )?;
        }
        Ok(true)
    }

    fn tell_files(&mut self, control: BorrowedFd<'_>) -> Result<(), Error> {
        let new = Snapshot::take(self.workspace.as_fd(), &self.limits);
        let found = difference(&self.snapshot, &new, self.workspace.as_fd());
        let before = std::mem::replace(&mut self.snapshot, new);
        if found.changes.is_empty() && found.complete {
            return Ok(());
        }
        let Difference {
            changes, complete, ..
        } = found;
        let scripts = self.scripts.differ(&changes, self.workspace.as_fd());
        // What is said of a change is said once more where it is at a pin.
        for changes in pieces(changes, |change| 2 * change.path.len()) {
            let pinned = self.nested.among(&changes, [&before, &self.snapshot]);
            send(
                control,
                &FromMediator::Changed(Difference {
                    changes,
                    complete,
                    scripts: scripts.clone(),
                    pinned,
                }),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
