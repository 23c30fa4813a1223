//! The price table: which row a model has, and what a usage costs by it.

mod bill;
mod row;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::LazyLock};

use self::bill::Bill;
pub use self::row::{RATES, Rate, Row};
use super::Micros;
use crate::protocol::{Provider, Usage};

/// Prices by provider and model.
#[derive(Debug, Clone)]
pub struct PriceTable {
    rows: HashMap<(Provider, String), Row>,
}

/// What a usage costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priced {
    /// Rounded half up.
    pub cost: Micros,
    /// The same in trillionths of a dollar.
    pub picos: i64,
    /// Some price is not known, and the dearest that may apply was taken.
    pub unpriced: bool,
}

const BUILT_IN: &str = include_str!("pricing.csv");

impl PriceTable {
    /// The table this version came with.
    pub fn built_in() -> Self {
        static TABLE: LazyLock<PriceTable> =
            LazyLock::new(|| PriceTable::parse(BUILT_IN).expect("the built-in table is read by a test"));
        TABLE.clone()
    }

    /// Reads a table with the columns of the built-in one; columns that are not known are passed over.
    pub fn parse(csv: &str) -> Result<Self, csv::Error> {
        let rows: Result<Vec<Row>, _> = csv::Reader::from_reader(csv.as_bytes()).deserialize().collect();
        Ok(Self { rows: HashMap::new() }.with(rows?))
    }

    /// The same table where these rows take the place of those of the same model.
    #[must_use]
    pub fn with(mut self, rows: impl IntoIterator<Item = Row>) -> Self {
        self.rows.extend(rows.into_iter().map(|row| ((row.provider, plain_name(&row.model)), row)));
        self
    }

    /// What `usage` costs: at the prices of the model that served, else of the one that was asked for.
    pub fn price(&self, provider: Provider, asked_model: &str, served_model: Option<&str>, usage: &Usage) -> Priced {
        let model = served_model.unwrap_or(asked_model);
        let mut bill = Bill::new(self, provider, model, &usage.terms);
        if usage.charges.is_empty() {
            bill.add_whole(usage);
        }
        for charge in &usage.charges {
            bill.add_part(charge);
        }
        bill.add_searches(usage.searches);
        bill.total()
    }

    /// The row of a model: its exact name, else the name without its date or revision. A family has no price.
    fn row(&self, provider: Provider, model: &str) -> Option<&Row> {
        let find = |name: &str| self.rows.get(&(provider, name.to_owned()));
        let name = plain_name(model);
        find(&name)
            .or_else(|| find(without_number(&name, &['-', '@'], 8)?))
            .or_else(|| find(without_number(&name, &['-'], 3).filter(|_| provider == Provider::Gemini)?))
    }

    /// The current chat model that costs most.
    fn dearest(&self, provider: Provider) -> Option<&Row> {
        self.rows
            .values()
            .filter(|row| row.provider == provider && row.kind == "chat" && row.status == "current")
            .filter(|row| row.input.is_some() && row.output.is_some())
            .max_by_key(|row| (row.output, row.input, row.long_output, row.cache_read, &row.model))
    }
}

/// How the table spells a model.
fn plain_name(model: &str) -> String {
    let name = model.to_ascii_lowercase();
    let name = name.strip_prefix("models/").or_else(|| name.strip_prefix("tunedmodels/")).unwrap_or(&name);
    name.strip_suffix("[1m]").unwrap_or(name).to_owned()
}

/// The name before its last `marks` and exactly so many digits after it.
fn without_number<'n>(name: &'n str, marks: &[char], digits: usize) -> Option<&'n str> {
    let (before, number) = name.rsplit_once(marks)?;
    (number.len() == digits && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(before)
}
