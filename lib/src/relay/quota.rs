//! What is left of a login's quota at Code Assist, which says it only when it is asked.

use serde_json::json;

use super::refresh;
use crate::{
    clock,
    error::{Error, Result},
    gateway::Context,
    pool::{Account, renewed},
    protocol::code_assist::quota,
    store::Report,
    upstream::code_assist::call,
};

/// Asks, and keeps what is said. It is a hint for the ranking; an answer that refuses a request counts for more, except
/// where the quota was spent and no longer is.
pub(super) async fn ask(cx: &Context, account: &Account) -> Result<()> {
    let ready = refresh::ready(cx, account).await.map_err(|unable| Error::internal(unable.reason))?;
    let credential = cx.gateway.unseal(&ready).map_err(Error::internal)?;
    let request = json!({ "project": credential.project() });
    let told =
        call(&cx.gateway.upstream, cx.gateway.base_url(&ready), &credential, "retrieveUserQuota", &request).await?;
    let (status, _, body) = told.map_err(Error::internal)?;
    let limits = if status.is_success() { quota(&body) } else { Vec::new() };
    if limits.is_empty() {
        return Ok(());
    }
    let renewed = renewed(&account.reported_limits, &limits, clock::now());
    let report = Report { limits: &limits, renewed: &renewed, organization: None, family: None };
    cx.gateway.store.report(&account.id, &report).await
}
