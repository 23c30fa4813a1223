//! One function on Vercel: the only file that names its runtime.
//!
//! The runtime takes an invocation for finished when its handler has returned and the work registered before that is done;
//! it does not wait for the body. Every relayed answer registers its settlement first, and that one waits.

use vercel_runtime::{AppState, Request, ResponseBody, run, service_fn};

use super::{Door, log_to_stderr};
use crate::{address::Peer, background::Background, config::Environment, http::incoming, routes::Router};

pub use vercel_runtime::Error;

/// Serves one router for as long as the instance lives.
pub async fn serve(router: Router) -> Result<(), Error> {
    let env = Environment::of_process();
    log_to_stderr(&env);
    let door = Door::open(&env);
    run(service_fn(move |request: Request, state: AppState| {
        let background = Background::new(move |work| state.wait_until(work));
        let answer = door.answer(router, background, Peer::Platform, request.map(incoming));
        // An error returned here would reach the client in unescaped JSON; there is none.
        async move { Ok::<_, Error>(answer.await.map(ResponseBody)) }
    }))
    .await
}
