//! Threads of one piece of work, such as a pass of the scrub: each takes the next item when it is done with one, and opens
//! the one after it ahead.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::VaultError;

/// Does `work` on every item, on so many threads, each with a tool of its own; `ahead` is called for an item while the one
/// before it is worked on. The first error ends all of them.
pub(crate) fn each<T: Sync, A, U>(
    workers: usize,
    items: &[T],
    tool: impl Fn() -> U + Sync,
    ahead: impl Fn(&T) -> A + Sync,
    work: impl Fn(&T, A, &mut U) -> Result<(), VaultError> + Sync,
) -> Result<(), VaultError> {
    let taken = AtomicUsize::new(0);
    let take = || items.get(taken.fetch_add(1, Ordering::Relaxed)).map(|item| (item, ahead(item)));
    let run = || {
        let mut tool = tool();
        let mut next = take();
        while let Some((item, opened)) = next {
            next = take();
            if let Err(error) = work(item, opened, &mut tool) {
                taken.store(items.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    let ended = || VaultError::Inconsistent("a thread ended abnormally".to_owned());
    let workers = workers.min(items.len()).max(1);
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(ended())))
            .collect::<Vec<_>>()
    });
    // What went wrong is told rather than that the others were stopped for it.
    let (stopped, failed): (Vec<_>, Vec<_>) = results
        .into_iter()
        .filter_map(Result::err)
        .partition(|error| matches!(error, VaultError::Stopping));
    failed.into_iter().chain(stopped).next().map_or(Ok(()), Err)
}
