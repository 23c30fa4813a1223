//! Leases of claims whose answer was never heard.

use std::{collections::HashSet, future::Future, pin::Pin, sync::Arc};

use tokio_postgres::types::Type;

use super::{Lane, Lanes, Store};
use crate::{error::Result, id::RequestId};

impl Store {
    /// Takes the lease of a request that was never sent. True: there was one.
    pub async fn let_go(&self, request: RequestId) -> Result<bool> {
        self.unheard.submit(request).await
    }
}

type Run = Pin<Box<dyn Future<Output = Result<Vec<bool>>> + Send>>;

pub(super) fn run(lanes: &Arc<Lanes>) -> impl Fn(Arc<[RequestId]>) -> Run + Send + Sync + 'static + use<> {
    let lanes = Arc::clone(lanes);
    move |requests| {
        let lanes = Arc::clone(&lanes);
        Box::pin(async move {
            let ids: Vec<&str> = requests.iter().map(RequestId::as_str).collect();
            let sql = "delete from leases where request_id = any($1) returning request_id";
            let rows = lanes.rows(Lane::Work, sql, &[(&ids, Type::TEXT_ARRAY)]).await?;
            let gone: HashSet<&str> = rows.iter().map(|row| row.get(0)).collect();
            Ok(ids.iter().map(|id| gone.contains(id)).collect())
        })
    }
}
