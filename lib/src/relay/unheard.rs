//! A claim whose answer was never heard may have been made all the same: then its lease goes, for nothing was sent.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{gateway::Gateway, id::RequestId};

/// When it is looked for the lease: the statement may be carried out late, but waits for no other longer than this.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];

/// Lets go of what such a claim may have left behind. What is not found by then, `reap` finds.
pub(super) async fn let_go(gateway: Arc<Gateway>, request: RequestId) {
    for wait in LOOKS {
        sleep(wait).await;
        match gateway.store.let_go(request.clone()).await {
            Ok(true) => {
                return tracing::info!(%request, "a claim was made though its answer was not heard; it is given up");
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(%request, %error, "a claim that may have been made could not be given up"),
        }
    }
}
