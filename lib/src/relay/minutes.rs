//! A claim where Redis counts the minutes: counted there first, given back when the claim is refused, and corrected when
//! the request has ended. Which account serves is decided in the claim, so the one to count on is a guess: the first by rank.

use super::open::Open;
use crate::{
    access::ApiKey,
    error::Result,
    gateway::Snapshot,
    id::AccountId,
    store::{Claim, Minutes, Outcome, Record, Refused, Store},
    windows::{Subject, Taken, Windows},
};

/// Claims that are made for one while the guesses are wrong.
const GUESSES: usize = 8;

/// What a request counts on in Redis, and with how many tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    tokens: u64,
    key: Option<Subject>,
    account: Option<(AccountId, Subject)>,
}

/// A claim that is being made.
struct Counting<'a> {
    windows: &'a Windows,
    snapshot: &'a Snapshot,
    claim: Claim,
    /// What this claim has counted.
    counts: Counts,
}

/// Claims, and keeps what was counted with the open request.
pub(super) async fn claim(
    (windows, store): (&Windows, &Store),
    key: &ApiKey,
    snapshot: &Snapshot,
    open: &Open,
    claim: Claim,
) -> Result<Outcome> {
    let before = open.counts();
    let mut counting =
        Counting { windows, snapshot, counts: Counts { tokens: claim.tokens, ..Counts::default() }, claim };
    // A request that goes on to another account counts on its key already.
    counting.begin(Some(key).filter(|_| before.is_none())).await;
    let mut outcome = Ok(Err(Refused::AccountsBusy));
    for _ in 0..GUESSES {
        outcome = store.claim(counting.claim.clone()).await;
        let Ok(Err(Refused::Uncounted(account))) = &outcome else { break };
        counting.count_on(account).await;
    }
    match &outcome {
        Ok(Ok(granted)) => {
            counting.keep_only(&granted.account).await;
            let counts = counting.counts;
            open.counted(Counts { key: counts.key.or(before.and_then(|before| before.key)), ..counts });
        }
        Ok(Err(_)) | Err(_) => counting.give_back().await,
    }
    outcome
}

impl Counting<'_> {
    /// Counts on the key, and on the first account by rank that has room, where the first of all has limits.
    async fn begin(&mut self, key: Option<&ApiKey>) {
        let named = self.claim.accounts.as_deref().unwrap_or_default();
        let limited: Vec<_> = named.iter().map_while(|id| Some((id.clone(), self.subject(id)?))).collect();
        let (ids, subjects): (Vec<_>, Vec<_>) = limited.into_iter().unzip();
        let taken = self.windows.take(&self.claim.request, self.claim.tokens, key, &subjects).await;
        self.claim.minutes = Some(match taken {
            None => Minutes::Away,
            Some(Taken::KeyLimited(standing)) => {
                Minutes::Counted { account: None, full: Vec::new(), limited: Some(standing.into()) }
            }
            Some(Taken::Room(place)) => {
                self.counts.key = key.and_then(Subject::of_key);
                self.counts.account = place.map(|place| (ids[place].clone(), subjects[place].clone()));
                // Those before it were asked in vain.
                let full = ids[..place.unwrap_or(ids.len())].to_vec();
                Minutes::Counted { account: place.map(|place| ids[place].clone()), full, limited: None }
            }
        });
    }

    /// The claim would take this account: counts on it instead, or learns that it is full.
    async fn count_on(&mut self, id: &AccountId) {
        self.forget_account().await;
        let Some(subject) = self.subject(id) else { return };
        let taken =
            self.windows.take(&self.claim.request, self.claim.tokens, None, std::slice::from_ref(&subject)).await;
        let Some(Minutes::Counted { account, full, .. }) = &mut self.claim.minutes else { return };
        match taken {
            None => self.claim.minutes = Some(Minutes::Away),
            Some(Taken::Room(Some(_))) => {
                *account = Some(id.clone());
                self.counts.account = Some((id.clone(), subject));
            }
            Some(_) => {
                *account = None;
                full.push(id.clone());
            }
        }
    }

    /// The claim took this account, and may not have come to the one that was guessed.
    async fn keep_only(&mut self, taken: &AccountId) {
        if self.counts.account.as_ref().is_some_and(|(id, _)| id != taken) {
            self.forget_account().await;
        }
    }

    async fn forget_account(&mut self) {
        if let Some((_, subject)) = self.counts.account.take() {
            self.windows.give_back(&self.claim.request, self.claim.tokens, &[&subject]).await;
        }
    }

    async fn give_back(&mut self) {
        let account = self.counts.account.take().map(|(_, subject)| subject);
        let subjects: Vec<_> = self.counts.key.iter().chain(&account).collect();
        if !subjects.is_empty() {
            self.windows.give_back(&self.claim.request, self.claim.tokens, &subjects).await;
        }
    }

    /// `None`: the account has no limits by the minute.
    fn subject(&self, id: &AccountId) -> Option<Subject> {
        self.snapshot.account(id).and_then(|account| Subject::of_account(account))
    }
}

impl Counts {
    /// What was estimated becomes what was used.
    pub(super) async fn correct(self, windows: &Windows, record: &Record) {
        // Of several attempts only the last one's figures are its account's; an only one has none but the row's.
        let last = record.attempts.last().and_then(|attempt| attempt.spent.as_ref()).unwrap_or(&record.spent);
        let account = self.account.map(|(_, subject)| subject);
        let used = [(&self.key, record.spent.tokens.all()), (&account, last.tokens.charged())];
        let amounts: Vec<_> = used
            .iter()
            .filter_map(|(subject, used)| Some((subject.as_ref()?, difference(*used, self.tokens))))
            .filter(|(subject, amount)| subject.tokens.is_some() && *amount != 0)
            .collect();
        if !amounts.is_empty() {
            windows.correct(&record.id, &amounts).await;
        }
    }
}

/// How much more was used than estimated.
fn difference(used: u64, estimated: u64) -> i64 {
    let signed = |tokens| i64::try_from(tokens).unwrap_or(i64::MAX);
    signed(used).saturating_sub(signed(estimated))
}
