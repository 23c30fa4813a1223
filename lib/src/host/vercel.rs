//! One function on Vercel: the only file that names its runtime.
//!
//! The runtime takes an invocation for finished when its handler has returned and the work registered before that is done;
//! it does not wait for the body. Every relayed answer registers its settlement first, and that one waits.
//!
//! The platform kills an invocation that outlasts its `maxDuration`, without a word to the client and with whatever else
//! runs in the instance. An answer is ended somewhat earlier, as its protocol ends a failure, and its row is written.

use std::time::Duration;

use tokio::time::Instant;
use vercel_runtime::{AppState, Request, ResponseBody, run, service_fn};

use super::{Door, log_to_stderr};
use crate::{
    address::Peer,
    background::Background,
    config::{Environment, max_duration},
    http::incoming,
    routes::Router,
};

pub use vercel_runtime::Error;

/// What was deployed; it holds each function's `maxDuration`.
const VERCEL_JSON: &str = include_str!("../../../vercel.json");
/// The platform's own limit where none is set.
const USUAL_LIMIT: Duration = Duration::from_secs(300);
/// Time to end an answer and write its row: two statements that take as long as they may.
const MARGIN: Duration = Duration::from_secs(9);

/// Serves one router for as long as the instance lives.
pub async fn serve(router: Router) -> Result<(), Error> {
    let env = Environment::of_process();
    log_to_stderr(&env);
    let door = Door::open(&env);
    // A value that is no good is told at the door.
    let limit = max_duration(&env).ok().flatten().unwrap_or_else(|| deployed_limit(router));
    let patience = limit.saturating_sub(MARGIN);
    run(service_fn(move |request: Request, state: AppState| {
        let background = Background::new(move |work| state.wait_until(work)).until(Instant::now() + patience);
        let door = door.clone();
        async move {
            let answer = door.answer(router, background, Peer::Platform, request.map(incoming)).await;
            // An error returned here would reach the client in unescaped JSON; there is none.
            Ok::<_, Error>(answer.map(ResponseBody))
        }
    }))
    .await
}

/// The `maxDuration` that `vercel.json` gives the router's function.
fn deployed_limit(router: Router) -> Duration {
    let file = format!("api/{}.rs", router.name());
    let deployed: serde_json::Value = serde_json::from_str(VERCEL_JSON).unwrap_or_default();
    deployed["functions"][file]["maxDuration"].as_u64().map_or(USUAL_LIMIT, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_that_are_deployed_and_leave_time_for_a_row() {
        for (router, seconds) in [(Router::PROXY, 300), (Router::KEYS, 30), (Router::ACCOUNTS, 60), (Router::STATS, 60)]
        {
            let limit = deployed_limit(router);
            assert_eq!(limit, Duration::from_secs(seconds), "{router:?}");
            assert!(limit > MARGIN);
        }
    }
}
