//! Adds up one request, in whole numbers until the end.

use super::{PriceTable, Priced, Rate, Row};
use crate::{
    ledger::Micros,
    protocol::{Charge, Provider, Terms, Tier, Usage},
};

/// Sums are kept in tenths of a trillionth of a dollar, because tier factors have one decimal, times a million twice,
/// for the two factors of [`Bill::factors`].
const TENTHS: u128 = 10;
const FACTORS: u128 = 1_000_000 * 1_000_000;

pub(super) struct Bill<'t> {
    table: &'t PriceTable,
    provider: Provider,
    terms: &'t Terms,
    /// The request's own row; `None` when there is none at all.
    row: Option<&'t Row>,
    sum: u128,
    unpriced: bool,
}

/// Which of a row's prices apply.
struct Prices<'t> {
    row: &'t Row,
    tier: Tier,
    /// The tier's factor where it has no price of its own, in tenths.
    factor: u128,
    long: bool,
}

/// Token counts and where they stand in a row; `None`: the price is not known.
type Line = (u64, Option<u128>);

impl<'t> Bill<'t> {
    pub(super) fn new(table: &'t PriceTable, provider: Provider, model: &str, terms: &'t Terms) -> Self {
        let mut bill = Self { table, provider, terms, row: None, sum: 0, unpriced: false };
        bill.row = bill.find(model);
        bill
    }

    /// The row of a model, else the provider's dearest.
    fn find(&mut self, model: &str) -> Option<&'t Row> {
        let row = self.table.row(self.provider, model).filter(|row| row.input.is_some() && row.output.is_some());
        self.unpriced |= row.is_none();
        row.or_else(|| self.table.dearest(self.provider))
    }

    /// A request that is priced as it stands.
    pub(super) fn add_whole(&mut self, usage: &Usage) {
        let Some(row) = self.row else { return };
        let prompt = sum([usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h]);
        let prices = self.prices(row, prompt);
        let media = &usage.media;
        let text_in = less(usage.input, [media.audio_input, media.image_input, media.video_input]);
        let text_out = less(usage.output, [media.audio_output, media.image_output, media.video_output]);
        // What a search fed back is paid by the search.
        let tool_use = if usage.searches > 0 { 0 } else { usage.tool_use };
        let (input, output, cache_read) = (prices.input(), prices.output(), prices.cache_read());
        let lines = [
            (text_in, input),
            (media.audio_input, prices.own(row.audio_input).or(input)),
            (media.image_input, prices.own(row.image_input).or(input)),
            (media.video_input, prices.own(row.video_input).or(input)),
            (less(usage.cache_read, [media.audio_cache_read]), cache_read),
            (media.audio_cache_read, prices.own(row.audio_cache_read).or(cache_read)),
            (usage.cache_write_5m, prices.cache_write_5m()),
            (usage.cache_write_1h, prices.cache_write_1h()),
            (text_out, output),
            (media.audio_output, prices.own(row.audio_output).or(output)),
            (media.image_output, prices.own(row.image_output).or(output)),
            (media.video_output, prices.own(row.video_output).or(output)),
            (tool_use, input),
        ];
        let factors = self.factors(row, self.terms.fast);
        self.add(&lines, input, factors);
    }

    /// One part of a request, by its own model.
    pub(super) fn add_part(&mut self, charge: &Charge) {
        let row = match &charge.model {
            Some(model) => self.find(model),
            None => self.row,
        };
        let Some(row) = row else { return };
        let prompt = sum([charge.input, charge.cache_read, charge.cache_write_5m, charge.cache_write_1h]);
        let prices = self.prices(row, prompt);
        let lines = [
            (charge.input, prices.input()),
            (charge.cache_read, prices.cache_read()),
            (charge.cache_write_5m, prices.cache_write_5m()),
            (charge.cache_write_1h, prices.cache_write_1h()),
            (charge.output, prices.output()),
        ];
        let factors = self.factors(row, self.terms.fast && !charge.standard_speed);
        self.add(&lines, prices.input(), factors);
    }

    /// Searches are paid each, whatever the terms.
    pub(super) fn add_searches(&mut self, searches: u64) {
        if searches == 0 {
            return;
        }
        let known = self.row.and_then(|row| row.web_search_each);
        self.unpriced |= known.is_none();
        let each = known.or_else(|| self.table.dearest(self.provider)?.web_search_each).unwrap_or_default();
        // Of a rate in millionths of a dollar, a trillionth is a millionth.
        let picos = u128::from(searches) * u128::from(each.0) * 1_000_000;
        self.sum = self.sum.saturating_add(picos.saturating_mul(TENTHS * FACTORS));
    }

    pub(super) fn total(self) -> Priced {
        let unit = TENTHS * FACTORS;
        let picos = i64::try_from(self.sum.saturating_add(unit / 2) / unit).unwrap_or(i64::MAX);
        Priced { cost: Micros::from_picos(picos), picos, unpriced: self.unpriced }
    }

    fn add(&mut self, lines: &[Line], instead: Option<u128>, factors: u128) {
        for &(tokens, price) in lines {
            self.unpriced |= tokens > 0 && price.is_none();
            let price = price.or(instead).unwrap_or(0);
            let amount = u128::from(tokens).saturating_mul(price).saturating_mul(factors);
            self.sum = self.sum.saturating_add(amount);
        }
    }

    /// The product of the factors for place and speed, each in millionths.
    fn factors(&mut self, row: &Row, fast: bool) -> u128 {
        let place = row.us_multiplier.filter(|_| self.terms.us_only).unwrap_or(Rate::ONE);
        let speed = row.fast_multiplier.filter(|_| fast).unwrap_or(Rate::ONE);
        // Served fast by a model that is not offered fast: nobody knows the price.
        self.unpriced |= fast && row.fast_multiplier.is_none();
        u128::from(place.0) * u128::from(speed.0)
    }

    fn prices(&mut self, row: &'t Row, prompt: u64) -> Prices<'t> {
        let factor = match (self.terms.tier, self.provider) {
            (Tier::Batch | Tier::Flex, _) => 5,
            (Tier::Priority, Provider::Gemini) => 18,
            // Bought beforehand: its price per token is not known, so the usual one stands in.
            (Tier::Priority, Provider::Anthropic) => {
                self.unpriced |= row.priority_input.is_none();
                10
            }
            (Tier::Standard, _) => 10,
        };
        let long = row.long_above.is_some_and(|above| prompt > above);
        Prices { row, tier: self.terms.tier, factor, long }
    }
}

impl Prices<'_> {
    fn input(&self) -> Option<u128> {
        let row = self.row;
        self.pick(row.input, row.long_input, [row.batch_input, row.flex_input, row.priority_input])
    }

    fn output(&self) -> Option<u128> {
        let row = self.row;
        self.pick(row.output, row.long_output, [row.batch_output, row.flex_output, row.priority_output])
    }

    fn cache_read(&self) -> Option<u128> {
        let row = self.row;
        let tiers = [row.batch_cache_read, row.flex_cache_read, row.priority_cache_read];
        self.pick(row.cache_read, row.long_cache_read, tiers)
    }

    fn cache_write_5m(&self) -> Option<u128> {
        self.pick(self.row.cache_write_5m, self.row.long_cache_write_5m, [None; 3])
    }

    fn cache_write_1h(&self) -> Option<u128> {
        self.pick(self.row.cache_write_1h, self.row.long_cache_write_1h, [None; 3])
    }

    /// A price that long prompts and tiers have no column for.
    fn own(&self, price: Option<Rate>) -> Option<u128> {
        price.map(|price| u128::from(price.0) * self.factor)
    }

    /// The tier columns hold prices of short prompts; long ones take the tier's factor.
    fn pick(&self, base: Option<Rate>, long: Option<Rate>, [batch, flex, priority]: [Option<Rate>; 3]) -> Option<u128> {
        let tier = match self.tier {
            Tier::Standard => None,
            Tier::Batch => batch,
            Tier::Flex => flex,
            Tier::Priority => priority,
        };
        match (long.filter(|_| self.long), tier) {
            (Some(long), _) => self.own(Some(long)),
            (None, Some(tier)) => Some(u128::from(tier.0) * TENTHS),
            (None, None) => self.own(base),
        }
    }
}

fn sum<const N: usize>(figures: [u64; N]) -> u64 {
    figures.into_iter().fold(0, u64::saturating_add)
}

fn less<const N: usize>(whole: u64, parts: [u64; N]) -> u64 {
    whole.saturating_sub(sum(parts))
}
