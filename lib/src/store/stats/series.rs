//! One figure over time, for all requests or for each group: what charts are drawn from.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::{Row, types::Type};

use super::{FACTS, Facts, Grain, GroupBy, Histogram, WHICH, begin, measures::ratio};
use crate::{
    error::Result,
    store::{Filter, Store},
};

/// The distance between two points, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Read from the ledger itself.
    Minute,
    /// Read from rollups.
    Hour,
    /// Read from rollups of days.
    Day,
}

impl Step {
    /// Reads the word of the API.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Minute, Self::Hour, Self::Day].into_iter().find(|step| step.as_str() == word)
    }

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Its length, in seconds.
    pub fn seconds(self) -> i32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    fn grain(self) -> Grain {
        match self {
            Self::Minute => Grain::Request,
            Self::Hour => Grain::Hour,
            Self::Day => Grain::Day,
        }
    }
}

/// The beginnings of the steps of a span, each so many seconds long; the first may lie before it.
pub(crate) fn steps((from, to): (Timestamp, Timestamp), seconds: i64) -> Vec<Timestamp> {
    let first = from.as_second().div_euclid(seconds) * seconds;
    let times = (0..).map(|n| Timestamp::from_second(first + n * seconds));
    times.map_while(Result::ok).take_while(|at| *at < to).collect()
}

/// The figure of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// A sum; a point without requests is 0, one of which nobody knows the figure is null.
    Sum(&'static str),
    /// A sum of money, in millionths of a dollar.
    Cost,
    /// A part of a whole; null where there is no whole.
    Ratio(&'static str, &'static str),
    /// A percentile of the times in a histogram; null where there is none.
    Percentile(&'static str, f64),
}

const PROMPT: &str =
    "coalesce(f.input_tokens, 0) + coalesce(f.cache_read_tokens, 0) + coalesce(f.cache_write_5m_tokens, 0)
    + coalesce(f.cache_write_1h_tokens, 0)";
const TOKENS: &str =
    "coalesce(f.input_tokens, 0) + coalesce(f.cache_read_tokens, 0) + coalesce(f.cache_write_5m_tokens, 0)
    + coalesce(f.cache_write_1h_tokens, 0) + coalesce(f.output_tokens, 0) + coalesce(f.tool_use_tokens, 0)";
const ERRORS: &str = "case when f.status in ('failed', 'refused', 'lost') then f.requests else 0 end";
const SUCCEEDED: &str = "case f.status when 'completed' then f.requests else 0 end";

impl Metric {
    /// Reads the word of the API.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "requests" => Self::Sum("f.requests"),
            "errors" => Self::Sum(ERRORS),
            "tokens" => Self::Sum(TOKENS),
            "prompt_tokens" => Self::Sum(PROMPT),
            "input_tokens" => Self::Sum("f.input_tokens"),
            "output_tokens" => Self::Sum("f.output_tokens"),
            "cache_read_tokens" => Self::Sum("f.cache_read_tokens"),
            "cache_write_tokens" => Self::Sum("f.cache_write_5m_tokens + f.cache_write_1h_tokens"),
            "failovers" => Self::Sum("f.failovers"),
            "moved" => Self::Sum("f.moved"),
            "cost" => Self::Cost,
            "success_rate" => Self::Ratio(SUCCEEDED, "f.requests"),
            "cache_hit_ratio" => Self::Ratio("f.cache_read_tokens", PROMPT),
            "latency_p50" => Self::Percentile("f.latency", 0.5),
            "latency_p90" => Self::Percentile("f.latency", 0.9),
            "latency_p99" => Self::Percentile("f.latency", 0.99),
            "first_token_p50" => Self::Percentile("f.first_token", 0.5),
            "first_token_p90" => Self::Percentile("f.first_token", 0.9),
            "first_token_p99" => Self::Percentile("f.first_token", 0.99),
            _ => return None,
        })
    }

    /// Part, whole and histogram of a point, as SQL of one fact.
    fn sql(self) -> [&'static str; 3] {
        match self {
            Self::Sum(part) => [part, "f.requests", "null::numeric"],
            Self::Cost => ["f.cost_micros", "f.requests", "null::numeric"],
            Self::Ratio(part, whole) => [part, whole, "null::numeric"],
            Self::Percentile(histogram, _) => ["null::bigint", "f.requests", histogram],
        }
    }
}

/// What a point adds up.
#[derive(Debug, Default)]
struct Point {
    part: Option<i64>,
    whole: i64,
    histogram: Histogram,
}

impl Point {
    fn read(row: &Row) -> Self {
        Self {
            part: row.get("part"),
            whole: row.get::<_, Option<i64>>("whole").unwrap_or(0),
            histogram: row.get::<_, Option<Histogram>>("histogram").unwrap_or_default(),
        }
    }
}

/// One line of a chart.
#[derive(Debug)]
pub struct Line {
    /// The group; `None`: requests that name none, or, where `other` is set, all that have no line of their own.
    pub group: Option<String>,
    /// What a person calls it; `None`: it has no other name.
    pub name: Option<String>,
    /// Whether these are the groups beyond those that have a line.
    pub other: bool,
    /// The figure of each time; `None`: nobody knows, or there is nothing to take a part or a percentile of.
    pub values: Vec<Option<f64>>,
}

/// The lines of a chart, all with the same times.
#[derive(Debug)]
pub struct Series {
    /// The beginning of each step.
    pub times: Vec<Timestamp>,
    /// Lines: the group with most first, the others together last.
    pub lines: Vec<Line>,
}

impl Store {
    /// A figure over time. With groups, the `most` greatest have a line each, the greatest first.
    pub async fn series(
        &self,
        filter: &Filter,
        span: (Timestamp, Timestamp),
        (metric, step): (Metric, Step),
        (group, most): (Option<&GroupBy>, i64),
    ) -> Result<Series> {
        let mut loan = self.for_reading().await?;
        let reading = begin(&mut loan).await?;
        let [part, whole, histogram] = metric.sql();
        let weight = if matches!(metric, Metric::Sum(_) | Metric::Cost) { "part" } else { "whole" };
        let label = group.map_or("", GroupBy::label);
        let facts = Facts::of(&reading, filter, span, (step.grain(), group)).await?;
        // The groups are ranked by what their points add up to, so that the facts are read once.
        let sql = [
            "with points as materialized (
                select date_bin(make_interval(secs => $17), f.at, 'epoch') as at, coalesce(",
            group.map_or("null::text", GroupBy::sql),
            ", '') as grp, sum(",
            part,
            ") as part, sum(",
            whole,
            ") as whole, sum(",
            histogram,
            ") as histogram ",
            FACTS,
            group.map_or(" ", GroupBy::join_sql),
            WHICH,
            " group by 1, 2),
            ranked as (
                select grp, row_number() over (order by sum(",
            weight,
            ") desc nulls last, grp) as place from points group by grp
            ),
            greatest as materialized (select g.grp, g.place, ",
            group.map_or("null::text", GroupBy::name_sql),
            " as name from ranked g where g.place <= $18)
            select p.at, g.place, g.grp, g.name, sum(p.part)::bigint as part, sum(p.whole)::bigint as whole,
                sum(p.histogram) as histogram
            from points p left join greatest g on g.grp = p.grp
            group by 1, 2, 3, 4",
        ];
        let seconds = f64::from(step.seconds());
        let of = [(&label as _, Type::TEXT), (&seconds as _, Type::FLOAT8), (&most as _, Type::INT8)];
        let rows = facts.ask(&reading, &sql, &of).await?;
        Ok(draw(steps(span, step.seconds().into()), metric, &rows))
    }
}

/// The lines by their places; those that have none come last, together.
fn draw(times: Vec<Timestamp>, metric: Metric, rows: &[Row]) -> Series {
    let mut lines: BTreeMap<i64, (Option<String>, Option<String>, BTreeMap<Timestamp, Point>)> = BTreeMap::new();
    for row in rows {
        let place: Option<i64> = row.get("place");
        let named = || {
            (row.get::<_, Option<String>>("grp").filter(|group| !group.is_empty()), row.get("name"), BTreeMap::new())
        };
        let (.., points) = lines.entry(place.unwrap_or(i64::MAX)).or_insert_with(named);
        points.insert(row.get("at"), Point::read(row));
    }
    let line = |(place, (group, name, points)): (i64, (_, _, BTreeMap<Timestamp, Point>))| Line {
        group,
        name,
        other: place == i64::MAX,
        values: times.iter().map(|at| value(metric, points.get(at))).collect(),
    };
    let lines = lines.into_iter().map(line).collect();
    Series { times, lines }
}

#[expect(clippy::cast_precision_loss, reason = "a chart needs no more than an f64 has")]
fn value(metric: Metric, point: Option<&Point>) -> Option<f64> {
    match (metric, point) {
        (Metric::Sum(_) | Metric::Cost, None) => Some(0.0),
        (_, None) => None,
        (Metric::Sum(_), Some(point)) => point.part.map(|part| part as f64),
        (Metric::Cost, Some(point)) => point.part.map(|micros| micros as f64 / 1e6),
        (Metric::Ratio(..), Some(point)) => ratio(point.part.unwrap_or(0), point.whole),
        (Metric::Percentile(_, part), Some(point)) => point.histogram.percentile(part),
    }
}

/// How many points a span has at a step.
pub(crate) fn points(step: Step, (from, to): (Timestamp, Timestamp)) -> i64 {
    let length: SignedDuration = to.duration_since(from);
    length.as_secs() / i64::from(step.seconds()) + 1
}
