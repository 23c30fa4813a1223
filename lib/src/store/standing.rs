//! What keys have used of their limits.

use std::collections::BTreeMap;

use tokio_postgres::{
    Row,
    types::{Json, Type},
};

use super::Store;
use crate::{
    access::{ApiKey, Limit, Standing},
    error::Result,
};

/// How a key stands.
#[derive(Debug, Clone, Default)]
pub struct Stands {
    /// Its requests under way.
    pub in_flight: i64,
    /// Each of its limits, in their order.
    pub limits: Vec<Standing>,
}

impl Stands {
    /// How a key stands that has used nothing.
    pub fn of_nothing(key: &ApiKey) -> Self {
        let unused = |limit: &Limit| Standing { limit: limit.clone(), used: 0, resets_at: None };
        Self { in_flight: 0, limits: key.limits.iter().map(unused).collect() }
    }
}

impl Store {
    /// How each of these keys stands, by id.
    pub async fn standing(&self, keys: &[&str]) -> Result<BTreeMap<String, Stands>> {
        let sql = "
            select k.id, s.rule, s.used, s.resets_at,
                (select count(*) from leases l where l.key_id = k.id and l.expires_at > now()) as in_flight
            from api_keys k left join lateral key_standing(k.id) s on true
            where k.id = any($1)";
        let rows = self.rows(sql, &[(&keys, Type::TEXT_ARRAY)]).await?;
        let mut standing: BTreeMap<String, Stands> = BTreeMap::new();
        for row in &rows {
            let stands = standing.entry(row.get("id")).or_default();
            stands.in_flight = row.get("in_flight");
            stands.limits.extend(limit(row));
        }
        Ok(standing)
    }
}

fn limit(row: &Row) -> Option<Standing> {
    let rule: Option<Json<Limit>> = row.get("rule");
    Some(Standing { limit: rule?.0, used: row.get("used"), resets_at: row.get("resets_at") })
}
