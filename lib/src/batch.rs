//! Adaptive batching: while one statement is under way the next items queue, and the statement after carries them all.
//!
//! At low load an item travels alone and nothing waits; at high load one round trip serves dozens.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use crate::error::{BoxError, Error, Result};

/// The most items that one statement carries.
const LARGEST_BATCH: usize = 256;

type Run<T, R> = dyn Fn(Vec<T>) -> Pin<Box<dyn Future<Output = Result<Vec<R>, Shared>> + Send>> + Send + Sync;
type Reply<R> = oneshot::Sender<Result<R, Shared>>;

/// One failure that many requests share.
#[derive(Debug, Clone)]
struct Shared(Arc<Error>);

/// Collects items for a statement that takes many.
pub(crate) struct Batch<T, R>(Arc<Inner<T, R>>);

struct Inner<T, R> {
    queue: Mutex<Queue<T, R>>,
    lanes: usize,
    run: Box<Run<T, R>>,
}

struct Queue<T, R> {
    waiting: VecDeque<(T, Reply<R>)>,
    running: usize,
}

impl<T: Send + 'static, R: Send + 'static> Batch<T, R> {
    /// `run` answers a batch with one result for each item, in order; at most `lanes` run at once.
    pub(crate) fn new<F>(lanes: usize, run: impl Fn(Vec<T>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<R>>> + Send + 'static,
    {
        let run = move |items| -> Pin<Box<dyn Future<Output = _> + Send>> {
            let batch = run(items);
            Box::pin(async move { batch.await.map_err(|error| Shared(Arc::new(error))) })
        };
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), running: 0 });
        Self(Arc::new(Inner { queue, lanes, run: Box::new(run) }))
    }

    /// Hands an item in and waits for its result. The item is carried out even when the caller stops waiting.
    pub(crate) async fn submit(&self, item: T) -> Result<R> {
        let (reply, result) = oneshot::channel();
        if self.0.enqueue(item, reply) {
            tokio::spawn(drain(Arc::clone(&self.0)));
        }
        match result.await {
            Ok(result) => result.map_err(|Shared(error)| copy(&error)),
            Err(_) => Err(Error::internal("a batch ended without an answer")),
        }
    }
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
    fn take(&self) -> (Vec<T>, Vec<Reply<R>>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.waiting.len().min(LARGEST_BATCH);
        if count == 0 {
            queue.running -= 1;
        }
        queue.waiting.drain(..count).unzip()
    }
}

async fn drain<T, R>(inner: Arc<Inner<T, R>>) {
    loop {
        let (items, replies) = inner.take();
        if items.is_empty() {
            return;
        }
        match (inner.run)(items).await {
            Ok(results) => replies.into_iter().zip(results).for_each(|(reply, result)| drop(reply.send(Ok(result)))),
            Err(error) => replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone())))),
        }
    }
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
            move |items: Vec<u32>| {
                let gate = Arc::clone(&gate);
                runs.fetch_add(1, Ordering::SeqCst);
                async move {
                    gate.acquire().await.expect("open").forget();
                    Ok(items.into_iter().map(|item| item * 2).collect())
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

    #[tokio::test]
    async fn a_failure_reaches_everyone_and_the_next_batch_runs() {
        let fail = Arc::new(AtomicUsize::new(1));
        let batch = Batch::new(1, {
            let fail = Arc::clone(&fail);
            move |items: Vec<u32>| {
                let failed = fail.swap(0, Ordering::SeqCst) == 1;
                async move { if failed { Err(Error::internal("down")) } else { Ok(items) } }
            }
        });
        assert_eq!(batch.submit(1).await.unwrap_err().message, "internal error");
        assert_eq!(batch.submit(2).await.unwrap(), 2);
    }
}
