//! A request as Code Assist gets it: a client's own call of it with the account's project, or a request of the public Gemini
//! API in the wrapper.

use http::{HeaderMap, header::ACCEPT_ENCODING};

use super::Arrival;
use crate::{
    credential::Credential,
    error::{Error, Kind, Result},
    pool::Account,
    protocol::{
        Api,
        code_assist::{self, Wrapper},
        strip_key,
    },
    upstream::{Outgoing, address},
};

/// The request for an account with a login of Google, at its address; `headers` are the caller's, with the account's token.
pub(super) fn outgoing(
    arrival: &Arrival,
    account: &Account,
    base_url: &str,
    credential: &Credential,
    mut headers: HeaderMap,
) -> Result<Outgoing> {
    let Credential::OAuth { project: Some(project), .. } = credential else {
        return Err(Error::new(Kind::Internal, "the account's Google Cloud project is not known"));
    };
    let demand = &arrival.demand;
    let asked = demand.model.as_deref();
    let method = arrival.method.clone();
    if demand.api == Api::CodeAssist {
        let renamed = asked.map(|asked| (asked, account.model_name(asked))).filter(|(asked, to)| asked != to);
        let model = renamed.map(|(_, to)| to);
        let body = code_assist::made_the_accounts(demand.operation, project, model, &arrival.body)?;
        let query = arrival.uri.query().and_then(strip_key).map_or_else(String::new, |query| format!("?{query}"));
        let url = address(base_url, &[arrival.uri.path(), &query].concat())?;
        return Ok(Outgoing { method, url, headers, body });
    }
    // The answer is taken out of its wrapper here, so it may as well come plain.
    headers.remove(ACCEPT_ENCODING);
    let model = asked.map(|asked| account.model_name(asked)).unwrap_or_default();
    let wrapper = Wrapper { model, project, prompt_id: arrival.id.as_str() };
    let body = code_assist::wrap(demand.operation, &wrapper, &arrival.body)?;
    Ok(Outgoing { method, url: address(base_url, code_assist::path(demand))?, headers, body })
}
