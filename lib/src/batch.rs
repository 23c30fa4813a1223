//! Adaptive batching: while one statement is under way the next items queue, and the statement after carries them all.
//!
//! At low load an item travels alone and nothing waits; at high load one round trip serves dozens. Where nobody waits
//! for the items, a lane that carries many may rest a moment, so that the next batch carries more. A batch that the database does
//! not accept is carried out one by one, so that an item harms no other.

use std::{
    collections::VecDeque,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{sync::oneshot, time::sleep};

use crate::error::{BoxError, Error, Kind, Result};

/// The most items that one statement carries.
const LARGEST_BATCH: usize = 256;
/// From so many items on a lane that rests does so after a batch: what a statement costs by itself is then shared by more.
const CROWD: usize = 8;
const NO_ANSWER: &str = "a batch ended without an answer";

type Run<T, R> = dyn Fn(Arc<[T]>) -> Pin<Box<dyn Future<Output = Result<Vec<R>, Shared>> + Send>> + Send + Sync;
type Reply<R> = Box<dyn FnOnce(Result<R>) + Send>;

/// One failure that many requests share.
#[derive(Debug, Clone)]
struct Shared(Arc<Error>);

/// Collects items for a statement that takes many.
pub(crate) struct Batch<T, R>(Arc<Inner<T, R>>);

struct Inner<T, R> {
    queue: Mutex<Queue<T, R>>,
    lanes: usize,
    rest: Duration,
    run: Box<Run<T, R>>,
}

struct Queue<T, R> {
    waiting: VecDeque<(T, Reply<R>)>,
    running: usize,
}

impl<T: Clone + Send + Sync + 'static, R: Send + 'static> Batch<T, R> {
    /// `run` answers a batch with one result for each item, in order; at most `lanes` run at once.
    pub(crate) fn new<F>(lanes: usize, run: impl Fn(Arc<[T]>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<R>>> + Send + 'static,
    {
        let run = move |items| -> Pin<Box<dyn Future<Output = _> + Send>> {
            let batch = run(items);
            Box::pin(async move {
                // A panic must not take the lane with it: whoever came after would wait for ever.
                let ran = AssertUnwindSafe(batch).catch_unwind().await;
                let ran = ran.unwrap_or_else(|_| Err(Error::internal("a batch panicked")));
                ran.map_err(|error| Shared(Arc::new(error)))
            })
        };
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), running: 0 });
        Self(Arc::new(Inner { queue, lanes, rest: Duration::ZERO, run: Box::new(run) }))
    }

    /// The same, with lanes that rest for so long after they have carried a crowd.
    #[must_use]
    pub(crate) fn resting(mut self, rest: Duration) -> Self {
        Arc::get_mut(&mut self.0).expect("nothing was handed in yet").rest = rest;
        self
    }

    /// Hands an item in and waits for its result. The item is carried out even when the caller stops waiting.
    pub(crate) async fn submit(&self, item: T) -> Result<R> {
        let (tell, told) = oneshot::channel();
        self.submit_then(item, |result| drop(tell.send(result)));
        told.await.unwrap_or_else(|_| Err(Error::internal(NO_ANSWER)))
    }

    /// Hands an item in, and its result to `then`, whoever still waits for it.
    pub(crate) fn submit_then(&self, item: T, then: impl FnOnce(Result<R>) + Send + 'static) {
        if self.0.enqueue(item, Box::new(then)) {
            tokio::spawn(drain(Arc::clone(&self.0)));
        }
    }
}

/// Calls a reply. A panic there must not take the lane with it either.
fn answer<R>(reply: Reply<R>, result: Result<R, Shared>) {
    let result = result.map_err(|Shared(error)| copy(&error));
    let _told = catch_unwind(AssertUnwindSafe(|| reply(result)));
}

impl<T, R> Inner<T, R> {
    /// True when the caller has to start a lane.
    fn enqueue(&self, item: T, reply: Reply<R>) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.push_back((item, reply));
        let start = queue.running < self.lanes;
        queue.running += usize::from(start);
        start
    }

    /// The next batch; an empty one closes the lane.
    fn take(&self) -> (Arc<[T]>, Vec<Reply<R>>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.waiting.len().min(LARGEST_BATCH);
        if count == 0 {
            queue.running -= 1;
        }
        let (items, replies): (Vec<T>, _) = queue.waiting.drain(..count).unzip();
        (items.into(), replies)
    }

    /// Whoever waits still.
    fn give_up(&self) -> Vec<Reply<R>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.drain(..).map(|(_, reply)| reply).collect()
    }
}

async fn drain<T: Clone, R>(inner: Arc<Inner<T, R>>) {
    loop {
        let (items, replies) = inner.take();
        if items.is_empty() {
            return;
        }
        match (inner.run)(Arc::clone(&items)).await {
            Ok(results) => replies.into_iter().zip(results).for_each(|(reply, result)| answer(reply, Ok(result))),
            Err(error) if error.0.kind == Kind::Unavailable => {
                // Who came meanwhile has waited as long, and would wait as long again.
                let all = replies.into_iter().chain(inner.give_up());
                all.for_each(|reply| answer(reply, Err(error.clone())));
            }
            Err(error) if items.len() == 1 => replies.into_iter().for_each(|reply| answer(reply, Err(error.clone()))),
            Err(_) => {
                for (item, reply) in items.iter().zip(replies) {
                    let alone = (inner.run)(Arc::from([item.clone()])).await;
                    answer(reply, alone.and_then(|results| results.into_iter().next().ok_or_else(no_result)));
                }
            }
        }
        if items.len() >= CROWD && !inner.rest.is_zero() {
            sleep(inner.rest).await;
        }
    }
}

fn no_result() -> Shared {
    Shared(Arc::new(Error::internal(NO_ANSWER)))
}

/// The same refusal for each request of a batch; they share the cause.
fn copy(error: &Arc<Error>) -> Error {
    let cause: BoxError = Box::new(Cause(Arc::clone(error)));
    let mut copy = Error::new(error.kind, error.message.clone()).with_source(cause);
    copy.retry_after = error.retry_after;
    copy
}

#[derive(Debug)]
struct Cause(Arc<Error>);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self.0.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_arrives_during_a_run_travels_together() {
        let gate = Arc::new(Semaphore::new(0));
        let runs = Arc::new(AtomicUsize::new(0));
        let batch = Arc::new(Batch::new(1, {
            let (gate, runs) = (Arc::clone(&gate), Arc::clone(&runs));
            move |items: Arc<[u32]>| {
                let gate = Arc::clone(&gate);
                runs.fetch_add(1, Ordering::SeqCst);
                async move {
                    gate.acquire().await.expect("open").forget();
                    Ok(items.iter().map(|item| item * 2).collect())
                }
            }
        }));
        let mut asked: Vec<_> = (0..40).map(|item| Box::pin(batch.submit(item))).collect();
        // Polled once each: the first starts a run, the others queue behind it.
        for future in &mut asked {
            assert!(futures_util::poll!(future).is_pending());
        }
        gate.add_permits(2);
        for (item, future) in asked.into_iter().enumerate() {
            assert_eq!(future.await.unwrap() as usize, item * 2);
        }
        assert!(runs.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_rests_after_a_crowd_and_only_then() {
        let rest = Duration::from_millis(5);
        for (crowd, expect) in [(1, Duration::ZERO), (CROWD - 1, Duration::ZERO), (CROWD, rest)] {
            let batch = Batch::new(1, |items: Arc<[usize]>| async move { Ok(items.to_vec()) }).resting(rest);
            futures_util::future::join_all((0..crowd).map(|item| batch.submit(item))).await;
            let began = tokio::time::Instant::now();
            assert_eq!(batch.submit(7).await.unwrap(), 7);
            let waited = began.elapsed();
            // A timer may be a millisecond late.
            assert!((expect..=expect + Duration::from_millis(1)).contains(&waited), "after {crowd}: {waited:?}");
        }
    }

    #[tokio::test]
    async fn a_failure_reaches_everyone_and_the_next_batch_runs() {
        let fail = Arc::new(AtomicUsize::new(1));
        let batch = Batch::new(1, {
            let fail = Arc::clone(&fail);
            move |items: Arc<[u32]>| {
                let failed = fail.swap(0, Ordering::SeqCst) == 1;
                async move { if failed { Err(Error::internal("down")) } else { Ok(items.to_vec()) } }
            }
        });
        assert_eq!(batch.submit(1).await.unwrap_err().message, "internal error");
        assert_eq!(batch.submit(2).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_panic_is_told_and_the_next_batch_runs() {
        let batch = Batch::new(1, |items: Arc<[u32]>| async move {
            assert!(!items.contains(&13), "as a mistake of ours would");
            Ok(items.to_vec())
        });
        assert_eq!(batch.submit(13).await.unwrap_err().kind, Kind::Internal);
        let next = tokio::time::timeout(std::time::Duration::from_secs(10), batch.submit(2)).await;
        assert_eq!(next.expect("the lane is free").unwrap(), 2);
    }

    #[tokio::test]
    async fn a_result_is_told_to_whom_it_may_concern_and_a_panic_there_harms_no_other() {
        let batch = Batch::new(1, |items: Arc<[u32]>| async move { Ok(items.to_vec()) });
        let (tell, told) = oneshot::channel();
        batch.submit_then(13, |result| panic!("as a mistake of ours would: {result:?}"));
        batch.submit_then(2, |result| drop(tell.send(result)));
        assert_eq!(told.await.unwrap().unwrap(), 2);
        assert_eq!(batch.submit(3).await.unwrap(), 3);
    }

    /// Lets `run` answer a first item alone, so that those after it travel together.
    async fn after_one(fail: Kind) -> (Vec<Result<u32>>, usize) {
        let gate = Arc::new(Semaphore::new(0));
        let runs = Arc::new(AtomicUsize::new(0));
        let batch = Batch::new(1, {
            let (gate, runs) = (Arc::clone(&gate), Arc::clone(&runs));
            move |items: Arc<[u32]>| {
                let gate = Arc::clone(&gate);
                runs.fetch_add(1, Ordering::SeqCst);
                async move {
                    gate.acquire().await.expect("open").forget();
                    if items.contains(&13) { Err(Error::new(fail, "no")) } else { Ok(items.to_vec()) }
                }
            }
        });
        let first = if fail == Kind::Unavailable { 13 } else { 1 };
        let mut asked: Vec<_> = [first, 2, 13, 4].into_iter().map(|item| Box::pin(batch.submit(item))).collect();
        for future in &mut asked {
            assert!(futures_util::poll!(future).is_pending());
            // The first one's run begins before the others come.
            tokio::task::yield_now().await;
        }
        // Enough for a batch that is carried out one by one, and one to spare.
        gate.add_permits(6);
        (futures_util::future::join_all(asked).await, runs.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn an_item_that_is_not_accepted_harms_no_other() {
        let (results, _) = after_one(Kind::Internal).await;
        let good: Vec<_> = results.iter().map(|result| result.as_ref().ok().copied()).collect();
        assert_eq!(good, [Some(1), Some(2), None, Some(4)]);
    }

    #[tokio::test]
    async fn who_waits_for_a_database_that_is_away_waits_once() {
        let (results, runs) = after_one(Kind::Unavailable).await;
        assert!(results.iter().all(|result| result.as_ref().is_err_and(|error| error.kind == Kind::Unavailable)));
        assert_eq!(runs, 1);
    }
}
