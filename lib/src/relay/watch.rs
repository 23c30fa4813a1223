//! Records the containers and files that an answer tells of, before the caller hears of them.

use std::sync::Arc;

use http::{HeaderMap, header::CONTENT_ENCODING};
use tokio::task::JoinHandle;

use super::Arrival;
use crate::{
    gateway::{Context, Gateway},
    id::{AccountId, KeyId},
    protocol::{Finder, Provider},
    store::Holder,
};

/// Looks through one answer.
pub(super) struct Watch {
    finder: Finder,
    keeper: Keeper,
}

/// Whose things they are, and where.
#[derive(Clone)]
struct Keeper {
    gateway: Arc<Gateway>,
    key: KeyId,
    provider: Provider,
    account: AccountId,
}

impl Watch {
    /// For an answer that may tell of something.
    pub(super) fn of(cx: &Context, arrival: &Arrival, account: &AccountId, headers: &HeaderMap) -> Option<Self> {
        if !arrival.demand.runs_code {
            return None;
        }
        let keeper = Keeper {
            gateway: Arc::clone(&cx.gateway),
            key: arrival.key.id.clone(),
            provider: arrival.demand.provider,
            account: account.clone(),
        };
        let coding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        Some(Self { finder: Finder::new(arrival.demand.form, coding), keeper })
    }

    /// The work of recording what is new in these bytes, where anything is. It goes on should the caller hang up.
    pub(super) fn see(&mut self, bytes: &[u8]) -> Option<JoinHandle<()>> {
        let made = self.finder.see(bytes);
        if made.is_empty() {
            return None;
        }
        let keeper = self.keeper.clone();
        Some(tokio::spawn(async move {
            let holder = Holder { key: &keeper.key, provider: keeper.provider };
            for made in &made {
                // The answer has begun and cannot be taken back: the thing is then there, and not found later.
                if let Err(error) = keeper.gateway.store.keep_thing(holder, &keeper.account, made).await {
                    tracing::error!(account = %keeper.account, name = made.thing.name, %error, "a thing was not recorded");
                }
            }
        }))
    }
}
