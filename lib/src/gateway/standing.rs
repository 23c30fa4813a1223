//! How keys stand with their limits, whoever counts them.

use std::collections::BTreeMap;

use super::Gateway;
use crate::{access::ApiKey, error::Result, store::Stands};

impl Gateway {
    /// How each of these keys stands, by id: as the database says, and with the minutes that Redis counts.
    pub(crate) async fn standing(&self, keys: &[&ApiKey]) -> Result<BTreeMap<String, Stands>> {
        let ids: Vec<_> = keys.iter().map(|key| key.id.as_str()).collect();
        let Some(windows) = &self.windows else { return self.store.standing(&ids).await };
        let (standing, counted) = tokio::join!(self.store.standing(&ids), windows.standing(keys));
        let mut standing = standing?;
        for (id, counted) in ids.iter().zip(counted.into_iter().flatten()) {
            let stands = standing.get_mut(*id).map_or_else(Default::default, |stands| stands.limits.iter_mut());
            for limit in stands {
                // For a while both may count; who has seen more is right.
                let more = counted.iter().find(|other| other.limit == limit.limit && other.used > limit.used);
                if let Some(more) = more {
                    limit.clone_from(more);
                }
            }
        }
        Ok(standing)
    }
}
