//! Lists, and the events of a job. Every job is looked at for a page: this broker is plain before it is fast.

use super::{Entry, Store};
use crate::broker::Status;
use crate::event::{EventId, Happened, News};
use crate::ids::JobId;
use crate::life::{Millis, State};
use crate::list::{Cursor, Filter, MAX_PAGE, Page, Stage, Summary};

impl Store {
    pub fn list(&mut self, filter: &Filter, after: Option<&Cursor>, most: usize, now: Millis) -> Page {
        self.sweep(now);
        let behind = after.map(|it| (it.order, it.score.parse().unwrap_or(i64::MIN), it.id.as_str()));
        let listed = |(_, entry): &(_, &Entry)| filter.wants(entry.life.state.stage());
        let mut jobs: Vec<_> = self.jobs.iter().map(|(id, it)| (place(id, it), it)).filter(listed).collect();
        jobs.retain(|(place, entry)| filter.takes(&entry.signature) && behind.is_none_or(|it| *place > it));
        jobs.sort_by_key(|(place, _)| *place);
        let most = most.clamp(1, MAX_PAGE);
        let next = (jobs.len() > most).then(|| {
            let (order, score, id) = jobs[most - 1].0;
            Cursor { score: score.to_string(), id: id.into(), ..Cursor::of(order, 0) }
        });
        let ids: Vec<JobId> = jobs.into_iter().take(most).map(|(_, it)| it.job.id.clone()).collect();
        let found: Vec<Status> = ids.iter().filter_map(|id| self.status(id, now)).collect();
        Page { jobs: found.iter().map(Summary::from).collect(), next }
    }

    pub fn events(&mut self, id: &JobId, after: Option<&EventId>, now: Millis) -> Vec<Happened> {
        self.sweep(now);
        let Some(entry) = self.jobs.get(id) else { return vec![] };
        let seen = after.and_then(|it| it.0.parse().ok()).unwrap_or(0);
        let events = entry.events.iter().enumerate().skip(seen);
        let told = |(place, (at, news)): (usize, &(_, News))| {
            let id = EventId((place + 1).to_string());
            Happened { id, at: *at, news: news.clone() }
        };
        events.map(told).collect()
    }
}

/// Where a job stands in a list.
fn place<'e>(id: &'e JobId, entry: &Entry) -> (u8, i64, &'e str) {
    let stage = entry.life.state.stage();
    let order = Stage::ALL.iter().position(|it| *it == stage).unwrap_or_default();
    let score = match &entry.life.state {
        State::Running { until, .. } => until.cast_signed(),
        State::Waiting => entry.score,
        State::Delayed { due } => due.cast_signed(),
        State::Dead(_) | State::Succeeded | State::Cancelled => {
            entry.finished.unwrap_or_default().cast_signed()
        }
    };
    (u8::try_from(order).unwrap_or_default(), score, id.as_str())
}
