//! Lines for somebody who may not read: what is told of a session must not hold it up.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that wait for whoever reads, at most: four times what a pipe takes.
const MOST: usize = 256 << 10;
/// Whoever is told of something waits so long for it to be read, so that a reason stands before what comes of it.
/// Once it was not read in that time nobody waits, until all of it was.
const PATIENCE: Duration = Duration::from_millis(200);
/// At the end of the session somebody may be slow.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// Written by a thread of their own, in their order. What does not fit is counted, and that is told in its place.
pub(crate) struct Lines {
    shared: Arc<Shared>,
    missed: fn(u64) -> String,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    texts: VecDeque<String>,
    /// Of the texts, and of what is being written.
    bytes: usize,
    missed: u64,
    is_stalled: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all was written. Returns whether it was.
    fn is_written(&self, waiting: MutexGuard<'_, Waiting>, patience: Duration) -> bool {
        let so_long = self
            .changed
            .wait_timeout_while(waiting, patience, |waiting| waiting.bytes > 0);
        so_long.unwrap_or_else(PoisonError::into_inner).0.bytes == 0
    }

    fn write(&self, mut to: impl Write) {
        loop {
            let waiting = self
                .changed
                .wait_while(self.lock(), |waiting| waiting.texts.is_empty());
            let text = waiting
                .unwrap_or_else(PoisonError::into_inner)
                .texts
                .pop_front()
                .unwrap_or_default();
            // Who has left hears no more.
            let _ = to.write_all(text.as_bytes());
            let mut waiting = self.lock();
            waiting.bytes -= text.len();
            waiting.is_stalled &= waiting.bytes > 0;
            drop(waiting);
            self.changed.notify_all();
        }
    }
}

impl Lines {
    /// Lines for `to`; what says that some were not told is `missed`'s to word.
    pub(crate) fn to(
        to: impl Write + Send + 'static,
        missed: fn(u64) -> String,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().spawn(move || theirs.write(to))?;
        Ok(Self { shared, missed })
    }

    /// Tells a text that ends its line.
    pub(crate) fn tell(&self, text: String) {
        let mut waiting = self.shared.lock();
        let before = match waiting.missed {
            0 => String::new(),
            missed => (self.missed)(missed),
        };
        let text = before + &text;
        // A text that is larger by itself is told where nothing else waits.
        if waiting.bytes > 0 && waiting.bytes + text.len() > MOST {
            waiting.missed += 1;
            return;
        }
        waiting.missed = 0;
        waiting.bytes += text.len();
        waiting.texts.push_back(text);
        let is_stalled = waiting.is_stalled;
        self.shared.changed.notify_all();
        if is_stalled {
            return;
        }
        if !self.shared.is_written(waiting, PATIENCE) {
            let mut waiting = self.shared.lock();
            waiting.is_stalled = waiting.bytes > 0;
        }
    }

    /// Waits a last time for what was told to be read.
    pub(crate) fn finish(&self) {
        let mut waiting = self.shared.lock();
        if waiting.missed > 0 {
            let text = (self.missed)(waiting.missed);
            waiting.missed = 0;
            waiting.bytes += text.len();
            waiting.texts.push_back(text);
            self.shared.changed.notify_all();
        }
        self.shared.is_written(waiting, LAST_PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, pipe};
    use std::time::Instant;

    use super::*;

    fn missed(count: u64) -> String {
        format!("missed {count}\n")
    }

    #[test]
    fn who_reads_is_told_all_of_it_in_its_order() {
        let (reads, writes) = pipe().unwrap();
        let lines = Lines::to(writes, missed).unwrap();
        let reader = std::thread::spawn(move || {
            BufReader::new(reads)
                .lines()
                .take(20_000)
                .collect::<Result<Vec<_>, _>>()
        });
        let told: Vec<_> = (0..20_000).map(|number| format!("line {number}")).collect();
        told.iter().for_each(|line| lines.tell(format!("{line}\n")));
        lines.finish();
        assert_eq!(reader.join().unwrap().unwrap(), told);
    }

    #[test]
    fn who_does_not_read_holds_nobody_up_and_hears_how_much_was_missed() {
        let (mut reads, writes) = pipe().unwrap();
        let lines = Lines::to(writes, missed).unwrap();
        let begun = Instant::now();
        let line = format!("{}\n", "x".repeat(999));
        for _ in 0..10_000 {
            lines.tell(line.clone());
        }
        lines.finish();
        // Ten thousand of them would each wait, else; one does, and the end.
        assert!(begun.elapsed() < 20 * PATIENCE + LAST_PATIENCE);
        let mut read = String::new();
        let mut buffer = [0; 4096];
        while !read.contains("missed") {
            let count = reads.read(&mut buffer).unwrap();
            read += std::str::from_utf8(&buffer[..count]).unwrap();
        }
        lines.finish();
        let (told, rest) = read.split_once("missed ").unwrap();
        let count: usize = rest.trim().parse().unwrap();
        assert_eq!(told.len() / line.len() + count, 10_000);
        assert!(count > 9000, "{count}");
    }
}
