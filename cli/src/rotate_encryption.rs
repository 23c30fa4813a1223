//! `llm-gateway rotate-encryption`: seal every credential with the present key.

use gateway::{Error, Kind, Result, config::Environment, gateway::Resealed, host::Door};
use serde_json::json;

use crate::out::Out;

/// Seals all of them, and says of each what became of it.
pub(crate) async fn run(env: &Environment, out: &Out) -> Result<()> {
    let gateway = Door::open(env).gateway()?;
    let (mut unopened, mut all) = (0, Vec::new());
    let resealing = gateway.reseal(|number, of, account, became| {
        unopened += usize::from(became == Resealed::Unopened);
        let (word, told) = match became {
            Resealed::Anew => ("anew", "sealed anew"),
            Resealed::Already => ("already", "sealed with this key before"),
            Resealed::Unopened => ("unopened", "CANNOT BE OPENED with these keys: give the account a new credential"),
            Resealed::Gone => ("gone", "removed meanwhile"),
        };
        if out.is_for_scripts() {
            all.push(json!({ "account": account, "became": word }));
        } else {
            let _shown_or_not = out.line(&format!("{number}/{of} {account}: {told}"));
        }
    });
    resealing.await?;
    if out.is_for_scripts() {
        out.json(&json!({ "accounts": all, "unopened": unopened }))?;
    }
    match unopened {
        0 if out.is_for_scripts() => Ok(()),
        0 => out.line("every credential is sealed with ENCRYPTION_KEY; ENCRYPTION_KEY_PREVIOUS is no longer needed"),
        count => Err(Error::new(Kind::Conflict, format!("{count} credentials cannot be opened with these keys"))),
    }
}
