//! Which rows of the ledger, or of what it adds up to, are meant.

use std::collections::BTreeMap;

use tokio_postgres::types::{Json, ToSql, Type};

/// Which rows are meant; an empty field means any. Texts are compared whole, but for the one prefix.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `anthropic` or `gemini`.
    pub provider: Option<String>,
    /// The account that served last.
    pub account: Option<String>,
    /// The key.
    pub key: Option<String>,
    /// Labels of the key, as they are now.
    pub labels: BTreeMap<String, String>,
    /// The model asked for.
    pub model: Option<String>,
    /// How the model asked for begins.
    pub model_prefix: Option<String>,
    /// The key's pool.
    pub pool: Option<String>,
    /// How it ended.
    pub status: Option<String>,
}

/// The filter as a condition on the row `f`. Its parameters are $1 to $8; a query's own begin after them.
pub(super) const WHICH: &str = "
    where ($1::text is null or f.provider = $1) and ($2::text is null or f.account_id = $2)
      and ($3::text is null or f.key_id = $3) and ($4::text is null or f.model = $4)
      and ($5::text is null or starts_with(f.model, $5)) and ($6::text is null or f.pool = $6)
      and ($7::text is null or f.status = $7)
      and ($8::jsonb is null or f.key_id in (select k.id from api_keys k where k.labels @> $8)) ";

/// What a question tells apart, beside provider, pool and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Apart {
    /// Nothing.
    None,
    /// Keys, or what is a key's.
    Key,
    /// Accounts.
    Account,
    /// Models.
    Model,
}

/// A parameter of a query.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// The labels of a filter as a parameter.
pub(super) type Labels<'a> = Option<Json<&'a BTreeMap<String, String>>>;

impl Filter {
    /// The labels as a parameter; `None`: any.
    pub(super) fn labels(&self) -> Labels<'_> {
        (!self.labels.is_empty()).then_some(Json(&self.labels))
    }

    /// The values of the parameters of [`WHICH`].
    pub(super) fn parameters<'a>(&'a self, labels: &'a Labels<'a>) -> Vec<Parameter<'a>> {
        vec![
            (&self.provider, Type::TEXT),
            (&self.account, Type::TEXT),
            (&self.key, Type::TEXT),
            (&self.model, Type::TEXT),
            (&self.model_prefix, Type::TEXT),
            (&self.pool, Type::TEXT),
            (&self.status, Type::TEXT),
            (labels, Type::JSONB),
        ]
    }

    /// The coarsest facet of the rollups in which what is meant, and what is asked for, can be told apart.
    pub(super) fn facet(&self, asked: Apart) -> &'static str {
        let key = asked == Apart::Key || self.key.is_some() || !self.labels.is_empty();
        let account = asked == Apart::Account || self.account.is_some();
        let model = asked == Apart::Model || self.model.is_some() || self.model_prefix.is_some();
        match (key, account, model) {
            (true, true, _) => "both",
            (true, false, true) => "key_model",
            (true, false, false) => "key",
            (false, true, _) => "account",
            (false, false, _) => "all",
        }
    }
}
