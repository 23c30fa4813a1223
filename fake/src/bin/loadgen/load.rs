//! Carries a plan out: one request after the other on some connections, or each at its hour.

use std::{
    io,
    rc::Rc,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinSet, LocalSet},
    time::{sleep_until, timeout},
};

use crate::{
    expected::Expected,
    plan::{Load, Plan},
    report::{Report, Tally},
    wire::Wire,
};

/// An answer that takes longer is a fault.
const PATIENCE: Duration = Duration::from_secs(60);
/// A connection that meets so many faults gives up: they would only be more of the same.
const MOST_FAULTS: u32 = 10;

struct Run {
    plan: Plan,
    expected: Expected,
    /// What is answered from here on is measured.
    warm: Instant,
    idle: Mutex<Vec<Caller>>,
}

/// A connection and its request.
struct Caller {
    wire: Wire,
    request: Vec<u8>,
}

/// Carries the plan out and answers what was measured.
pub(crate) async fn carry_out(plan: Plan) -> io::Result<Report> {
    let expected = Expected::new(&plan.expect);
    let warm = Instant::now() + Duration::from_millis(plan.warm_up_ms);
    let run = Rc::new(Run { plan, expected, warm, idle: Mutex::default() });
    let tasks = LocalSet::new();
    let (tally, end) = tasks
        .run_until(async {
            match run.plan.load {
                Load::Closed { connections, measure_ms } => {
                    let end = run.warm + Duration::from_millis(measure_ms);
                    (closed(&run, connections, end).await, end)
                }
                Load::Open { .. } | Load::Together { .. } => (scheduled(&run).await, Instant::now()),
            }
        })
        .await;
    Ok(tally.report(end.saturating_duration_since(run.warm).max(Duration::from_millis(1))))
}

async fn closed(run: &Rc<Run>, connections: u32, end: Instant) -> Tally {
    let mut callers = JoinSet::new();
    for number in 0..connections {
        let run = Rc::clone(run);
        callers.spawn_local(async move {
            let (mut tally, mut faults) = (Tally::default(), 0);
            let mut caller = None;
            while Instant::now() < end && faults < MOST_FAULTS {
                caller = run.ask(caller, number, &mut tally, end).await;
                faults += u32::from(caller.is_none());
            }
            tally
        });
    }
    together(callers).await
}

/// Each at its hour, on a connection that is idle then; where there is none, on a new one.
async fn scheduled(run: &Rc<Run>) -> Tally {
    let Some((count, gap)) = run.plan.schedule() else { return Tally::default() };
    let mut callers = JoinSet::new();
    let (start, mut connections) = (Instant::now(), 0);
    for number in 0..count {
        let hour = start + gap * number;
        sleep_until(hour.into()).await;
        let late = hour.elapsed();
        let caller = run.idle().pop();
        let name = connections;
        connections += u32::from(caller.is_none());
        let run = Rc::clone(run);
        callers.spawn_local(async move {
            let mut tally = Tally::late_by(late);
            let forever = Instant::now() + 2 * PATIENCE;
            if let Some(caller) = run.ask(caller, name, &mut tally, forever).await {
                run.idle().push(caller);
            }
            tally
        });
    }
    together(callers).await
}

async fn together(mut callers: JoinSet<Tally>) -> Tally {
    let mut total = Tally::default();
    while let Some(tally) = callers.join_next().await {
        match tally {
            Ok(tally) => total.add(tally),
            Err(broken) => total.fault(format!("a caller broke: {broken}")),
        }
    }
    total
}

impl Run {
    /// Sends one request; the connection comes back if all was well. Measured is what comes between warm-up and end.
    async fn ask(&self, caller: Option<Caller>, number: u32, tally: &mut Tally, end: Instant) -> Option<Caller> {
        let mut caller = match caller {
            Some(caller) => caller,
            None => match Wire::connect(self.plan.address).await {
                Ok(wire) => Caller { wire, request: self.plan.request(number) },
                Err(fault) => {
                    tally.fault(fault);
                    return None;
                }
            },
        };
        tally.sent += 1;
        let mut reading = self.expected.reading();
        match timeout(PATIENCE, caller.wire.ask(&caller.request, &mut reading)).await {
            Ok(Ok(())) => {
                if reading.began() >= self.warm && Instant::now() <= end {
                    tally.answered(&reading);
                }
                Some(caller)
            }
            Ok(Err(fault)) => {
                tally.fault(fault);
                None
            }
            Err(_) => {
                tally.fault("no answer in time".to_owned());
                None
            }
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Caller>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
