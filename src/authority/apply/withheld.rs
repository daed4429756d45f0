//! What an apply would do with the records that are never published, judged beside the others and by the same rules.

use std::collections::BTreeMap;

use crate::authority::apply::claims::{Claims, Conflict};
use crate::authority::apply::join::Unnamed;
use crate::authority::apply::plan::Plan;
use crate::authority::apply::spool::{Refused, Spool};
use crate::authority::refusal::Refusal;
use crate::authority::withheld::Changes;
use crate::model::loss_guard::LossGuard;
use crate::model::withheld::Withheld;
use crate::wire::directory::Target;

/// Plans, and counts in `plan`. `claims` are those of the directory that would come out. The ledger must not change meanwhile.
pub fn plan(
    standing: &[Withheld],
    spool: &Spool,
    claims: &Claims,
    unnamed: Unnamed,
    guard: LossGuard,
    plan: &mut Plan,
) -> Result<Changes, Refusal> {
    let mut changes = Changes::default();
    let mut old = BTreeMap::new();
    for record in standing {
        plan.outcome.kinds.entry(record.kind()).or_default().held += 1;
        old.insert(record.place(), record);
    }
    for (place, (line, record)) in &spool.withheld {
        if let Some(target) = record.project().map(Target::Project).filter(|target| !claims.holds(*target)) {
            let dangling = Conflict::Dangling { line: *line, field: "project_id", target: target.to_string() };
            return Err(Refused::from(dangling).into());
        }
        let counts = plan.outcome.kinds.entry(record.kind()).or_default();
        match old.remove(place) {
            Some(before) if before == record => {
                counts.unchanged += 1;
                continue;
            }
            Some(_) => counts.changed += 1,
            None => counts.added += 1,
        }
        changes.0.push((place.clone(), Some(record.canonical()?)));
    }
    if unnamed == Unnamed::Goes {
        for (place, record) in old {
            plan.outcome.kinds.entry(record.kind()).or_default().removed += 1;
            changes.0.push((place, None));
        }
        plan.loss = plan.outcome.loss(guard);
    }
    Ok(changes)
}
