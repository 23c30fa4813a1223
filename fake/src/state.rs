//! What all connections of one fake share: its scripts, its memory and its counts.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Instant,
};

use tokio::sync::{Notify, Semaphore};

use crate::{
    call::Call,
    script::{Answer, Script},
    seen::{Answered, Memory, Seen, Stats},
    shelf::Shelf,
    ticket::{Course, Ticket},
};

pub(crate) struct State {
    started: Instant,
    /// Counts only, and keeps no request.
    quiet: bool,
    books: Mutex<Books>,
    /// What lives on accounts; it outlasts a `clear`, as the accounts do.
    pub(crate) shelf: Shelf,
    changed: Notify,
    releases: Semaphore,
}

#[derive(Default)]
struct Books {
    number: u64,
    scripts: Vec<Script>,
    memory: Memory,
    stats: Stats,
}

impl State {
    pub(crate) fn new(quiet: bool) -> Self {
        let (books, changed, releases) = (Mutex::default(), Notify::new(), Semaphore::new(0));
        let shelf = Shelf::default();
        Self { started: Instant::now(), quiet, books, shelf, changed, releases }
    }

    /// A panic elsewhere leaves the books usable: each change is complete before anything can panic.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers the request, counts and remembers it.
    pub(crate) fn arrive(self: &Arc<Self>, call: &mut Call, connection: u64, reset: &Arc<AtomicBool>) -> Ticket {
        let credential = call.credential().unwrap_or_default().to_owned();
        let mut books = self.books();
        books.number += 1;
        call.number = books.number;
        books.stats.total.arrive();
        match books.stats.by_credential.get_mut(&credential) {
            Some(count) => count.arrive(),
            None => books.stats.by_credential.entry(credential.clone()).or_default().arrive(),
        }
        if !self.quiet {
            let at_ms = self.started.elapsed().as_millis() as u64;
            books.memory.keep(seen(call, connection, at_ms));
        }
        drop(books);
        self.changed.notify_waiters();
        Ticket {
            state: Arc::clone(self),
            number: call.number,
            credential,
            reset: Arc::clone(reset),
            course: Course::default(),
        }
    }

    /// The answer of the first script that matches and has times left.
    pub(crate) fn scripted(&self, call: &Call) -> Option<Answer> {
        let mut books = self.books();
        let credential = call.credential();
        let fits = |script: &Script| {
            script.times != Some(0)
                && script.credential.as_deref().is_none_or(|wanted| credential == Some(wanted))
                && script.path.as_deref().is_none_or(|part| call.target().contains(part))
        };
        let script = books.scripts.iter_mut().find(|script| fits(script))?;
        script.times = script.times.map(|times| times - 1);
        Some(script.answer.clone())
    }

    pub(crate) fn progress(&self, ticket: &Ticket) {
        if self.quiet {
            return;
        }
        if let Some(seen) = self.books().memory.of(ticket.number) {
            seen.answered = answered(ticket, false);
        }
    }

    pub(crate) fn leave(&self, ticket: &Ticket) {
        let course = &ticket.course;
        let mut books = self.books();
        books.stats.total.leave(course.status, course.figures.as_ref());
        if let Some(count) = books.stats.by_credential.get_mut(&ticket.credential) {
            count.leave(course.status, course.figures.as_ref());
        }
        if let Some(seen) = books.memory.of(ticket.number) {
            seen.answered = answered(ticket, !course.finished && !course.broken_off);
        }
        drop(books);
        self.changed.notify_waiters();
    }

    pub(crate) fn script(&self, script: Script) {
        self.books().scripts.push(script);
    }

    pub(crate) fn replace_scripts(&self, scripts: Vec<Script>) {
        self.books().scripts = scripts;
    }

    pub(crate) fn clear(&self) {
        let mut books = self.books();
        books.scripts.clear();
        books.memory.clear();
        books.stats.forget();
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.books().memory.all()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.books().stats.clone()
    }

    pub(crate) fn release(&self, count: usize) {
        self.releases.add_permits(count);
    }

    pub(crate) async fn released(&self) {
        if let Ok(permit) = self.releases.acquire().await {
            permit.forget();
        }
    }

    /// Waits until the counts are as `wanted` says.
    pub(crate) async fn until(&self, wanted: impl Fn(&Stats) -> bool) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if wanted(&self.books().stats) {
                return;
            }
            changed.await;
        }
    }
}

fn answered(ticket: &Ticket, hung_up: bool) -> Answered {
    let Course { status, figures, finished, .. } = ticket.course;
    Answered { status, usage: None, figures, finished, hung_up }
}

fn seen(call: &Call, connection: u64, at_ms: u64) -> Seen {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Seen {
        number: call.number,
        connection,
        dialect: call.dialect(),
        at_ms,
        method: call.method.to_string(),
        path_and_query: call.target().to_owned(),
        headers: call.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: call.body.clone(),
        credential: call.credential().map(str::to_owned),
        answered: Answered::default(),
    }
}
