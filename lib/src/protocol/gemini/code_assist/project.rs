//! Which Google Cloud project an account's requests count against, by what Code Assist says of the account.

use serde::Deserialize;
use serde_json::{Value, json};

const FREE_TIER: &str = "free-tier";
const LEGACY_TIER: &str = "legacy-tier";

/// Why an account without a project of Google's, and without one of its own, cannot be used.
pub(crate) const NO_PROJECT: &str = "this Google account needs a Google Cloud project of its own: give the account's credential a \
                          `project` (what Gemini CLI takes from GOOGLE_CLOUD_PROJECT)";

/// What `loadCodeAssist` comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Loaded {
    /// The project.
    Project(String),
    /// The account has to be enrolled first: the request for `onboardUser`.
    Onboard(Value),
    /// It cannot be used; why, for the operator.
    Never(String),
}

/// What an answer of `onboardUser`, or of the operation that it began, comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Onboarded {
    /// The account is enrolled.
    Project(String),
    /// Not yet: ask for the operation of this name.
    Running(String),
    /// It cannot be; why, for the operator.
    Never(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    current_tier: Option<Tier>,
    allowed_tiers: Option<Vec<Tier>>,
    ineligible_tiers: Option<Vec<Ineligible>>,
    cloudaicompanion_project: Option<Project>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tier {
    id: String,
    is_default: bool,
    user_defined_cloudaicompanion_project: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ineligible {
    reason_message: Option<String>,
    validation_url: Option<String>,
}

/// Written as its id, or as an object that has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Project {
    Id(String),
    Object { id: String },
}

impl Project {
    fn id(self) -> Option<String> {
        let (Self::Id(id) | Self::Object { id }) = self;
        Some(id).filter(|id| !id.is_empty())
    }
}

/// The request for `loadCodeAssist`.
pub(crate) fn load_request(configured: Option<&str>) -> Value {
    let mut request = json!({ "metadata": metadata(configured) });
    if let Some(project) = configured {
        request["cloudaicompanionProject"] = project.into();
    }
    request
}

/// The API wants to know the kind of its client; nothing here names one.
fn metadata(project: Option<&str>) -> Value {
    let mut metadata =
        json!({ "ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI" });
    if let Some(project) = project {
        metadata["duetProject"] = project.into();
    }
    metadata
}

/// Reads the answer of `loadCodeAssist`. `configured` is the project that the operator gave. `None`: it is no such answer.
pub(crate) fn loaded(body: &[u8], configured: Option<&str>) -> Option<Loaded> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let configured = configured.map(str::to_owned);
    if answer.current_tier.is_some() {
        let project = answer.cloudaicompanion_project.and_then(Project::id).or(configured);
        return Some(project.map_or_else(|| Loaded::Never(NO_PROJECT.to_owned()), Loaded::Project));
    }
    let allowed = answer.allowed_tiers.unwrap_or_default();
    let refusals = answer.ineligible_tiers.unwrap_or_default();
    if let (true, Some(refusal)) = (allowed.is_empty(), refusals.into_iter().next()) {
        return Some(Loaded::Never(refusal.told()));
    }
    let legacy = || Tier { id: LEGACY_TIER.to_owned(), user_defined_cloudaicompanion_project: true, is_default: false };
    let tier = allowed.into_iter().find(|tier| tier.is_default).unwrap_or_else(legacy);
    // The free tier has a project of Google's; naming one fails.
    let project = configured.filter(|_| tier.id != FREE_TIER);
    if tier.user_defined_cloudaicompanion_project && tier.id != FREE_TIER && project.is_none() {
        return Some(Loaded::Never(NO_PROJECT.to_owned()));
    }
    let mut request = json!({ "tierId": tier.id, "metadata": metadata(project.as_deref()) });
    if let Some(project) = project {
        request["cloudaicompanionProject"] = project.into();
    }
    Some(Loaded::Onboard(request))
}

impl Ineligible {
    fn told(self) -> String {
        let reason = self.reason_message.unwrap_or_else(|| "this Google account may not use Code Assist".to_owned());
        match self.validation_url {
            Some(url) => format!("{reason} (confirm the account at {url})"),
            None => reason,
        }
    }
}

/// Reads an operation. `None`: it is none.
pub(crate) fn onboarded(body: &[u8]) -> Option<Onboarded> {
    #[derive(Deserialize)]
    struct Operation {
        name: Option<String>,
        #[serde(default)]
        done: bool,
        response: Option<Response>,
        error: Option<Fault>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Response {
        cloudaicompanion_project: Option<Project>,
    }
    #[derive(Deserialize)]
    struct Fault {
        message: Option<String>,
    }
    let operation: Operation = serde_json::from_slice(body).ok()?;
    if let Some(fault) = operation.error {
        let message = fault.message.unwrap_or_else(|| "Code Assist could not enrol this Google account".to_owned());
        return Some(Onboarded::Never(message));
    }
    if !operation.done {
        let name = operation.name.filter(|name| is_plain(name))?;
        return Some(Onboarded::Running(name));
    }
    let project = operation.response.and_then(|response| response.cloudaicompanion_project).and_then(Project::id);
    Some(project.map_or_else(|| Onboarded::Never(NO_PROJECT.to_owned()), Onboarded::Project))
}

/// A name becomes a part of a path.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    !name.is_empty() && name.bytes().all(plain) && !name.contains("..")
}

/// Whether a 403 says that the account's perimeter bars the question. It then has the standard tier, and the project that
/// the operator gave.
pub(crate) fn is_barred_by_policy(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let details = body["error"]["details"].as_array().into_iter().flatten();
    details.into_iter().any(|detail| detail["reason"] == "SECURITY_POLICY_VIOLATED")
}
