//! A small file beside a large directory: planned by looking up what it names, instead of walking all that stands.
//!
//! Only for a file from which nothing goes that another record could name; every other file takes the walk of [`plan`], which
//! judges the same. A commit of a few records then costs the same in a directory of ten as in one of a million.
//!
//! [`plan`]: crate::authority::apply::plan::plan

use crate::authority::apply::claims::{Claims, Conflict, Origin};
use crate::authority::apply::join::{Step, Stopped, Unnamed};
use crate::authority::apply::plan::{Changes, Outcome, Plan};
use crate::authority::apply::spool::{Item, Refused, Spool};
use crate::authority::refusal::Refusal;
use crate::model::change::Identity;
use crate::model::directory::{Directory as _, Fault};
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::record::Record;
use crate::store::generation::Generation;
use crate::store::primary::COMMIT_CHANGES;
use crate::wire::directory::{Target, references};

/// Plans a small file; `None` if it has to be walked. The directory must not change meanwhile.
pub fn plan_beside(standing: &Generation, spool: &Spool, claims: &Claims, unnamed: Unnamed) -> Result<Option<Plan>, Refusal> {
    let small = spool.items.len() <= COMMIT_CHANGES && spool.withheld.is_empty();
    if unnamed == Unnamed::Goes || !small {
        return Ok(None);
    }
    let mut steps = Vec::with_capacity(spool.items.len());
    for item in &spool.items {
        let Some(step) = step(standing, spool, item)? else { return Ok(None) };
        steps.push(step);
    }
    for check in [unique, resolve] {
        for (line, record) in steps.iter().filter_map(comes) {
            check(standing, claims, line, record)?;
        }
    }
    let mut outcome = Outcome::default();
    let mut changes = Changes::default();
    for step in steps {
        outcome.count(&step);
        changes.take(step);
    }
    Ok(Some(Plan { outcome, way: changes.way(), loss: None }))
}

/// The record of a line that brings something new.
fn comes(step: &Step) -> Option<(usize, &Record)> {
    match step {
        Step::Added(new, line) | Step::Changed { new, line, .. } => new.record().map(|record| (*line, record.as_ref())),
        Step::Kept(..) | Step::Removed(_) => None,
    }
}

/// What becomes of one record; `None` if something would go that others may name.
fn step(standing: &Generation, spool: &Spool, item: &Item) -> Result<Option<Step>, Refusal> {
    let text = spool.text(item).map_err(Stopped::from)?;
    let new = Entry::read(&text).map_err(Stopped::from)?;
    let old = match new.record().map(AsRef::as_ref) {
        Some(Record::Key(key)) => {
            let known = standing.key_with(&key.key.fingerprint()).map_err(unreadable)?;
            let holder = standing.key(key.id).map_err(unreadable)?;
            let moves = holder.as_ref().is_some_and(|holder| holder.key != key.key);
            if moves || known.as_ref().is_some_and(|known| known.id != key.id || known.deploy != key.deploy) {
                return Ok(None);
            }
            known.map(|known| Entry::of(Record::Key((*known).clone()))).transpose().map_err(|error| unreadable(Fault(error.to_string())))?
        }
        Some(Record::Agent(_)) | None => return Ok(None),
        Some(_) => standing.entry(&Identity::of(&new)).map_err(Stopped::from)?,
    };
    Ok(Some(match old {
        None => Step::Added(new, item.line),
        Some(old) if *old.text() == *new.text() => Step::Kept(old, Origin::Line(item.line)),
        Some(old) => Step::Changed { old, new, line: item.line },
    }))
}

/// What it claims is claimed by nobody else who stays: a holder that the file names too has said there what it holds now.
fn unique(standing: &Generation, claims: &Claims, line: usize, record: &Record) -> Result<(), Refusal> {
    let held = match record {
        Record::User(user) => name_held(standing, claims, &user.username, user.id),
        Record::Namespace(namespace) => path_held(standing, claims, &namespace.path, Target::Namespace(namespace.id)),
        Record::Project(project) => path_held(standing, claims, &project.path, Target::Project(project.id)),
        _ => Ok(None),
    };
    match held.map_err(unreadable)? {
        Some(what) => Err(Refused::from(Conflict::Twice { line, what, first: Origin::Standing }).into()),
        None => Ok(()),
    }
}

fn name_held(standing: &Generation, claims: &Claims, username: &str, id: Id) -> Result<Option<String>, Fault> {
    let holder = standing.user_named(username)?.filter(|holder| holder.id != id && !claims.holds(Target::User(holder.id)));
    Ok(holder.map(|holder| format!("the username `{}`", holder.username)))
}

/// Namespaces and projects share one space of paths.
fn path_held(standing: &Generation, claims: &Claims, path: &str, own: Target<'_>) -> Result<Option<String>, Fault> {
    let another = |target: Target<'_>| target != own && !claims.holds(target);
    let namespace = standing.namespace_at(path)?.filter(|holder| another(Target::Namespace(holder.id))).map(|holder| holder.path.clone());
    let project = standing.project_at(path)?.filter(|holder| another(Target::Project(holder.id))).map(|holder| holder.path.clone());
    Ok(namespace.or(project).map(|path| format!("the path `{path}`")))
}

/// What it names is in the file or in the directory.
fn resolve(standing: &Generation, claims: &Claims, line: usize, record: &Record) -> Result<(), Refusal> {
    for (field, target) in references(record) {
        if !claims.holds(target) && !stands(standing, target).map_err(unreadable)? {
            return Err(Refused::from(Conflict::Dangling { line, field, target: target.to_string() }).into());
        }
    }
    Ok(())
}

fn stands(standing: &Generation, target: Target<'_>) -> Result<bool, Fault> {
    Ok(match target {
        Target::User(id) => standing.user(id)?.is_some(),
        Target::Namespace(id) => standing.namespace(id)?.is_some(),
        Target::Project(id) => standing.project(id)?.is_some(),
        Target::DeployKey(id) => standing.key(id)?.is_some_and(|key| key.deploy),
        Target::Storage(name) => standing.storage(name)?.is_some(),
    })
}

fn unreadable(fault: Fault) -> Refusal {
    Stopped::Damage(crate::store::generation::Damage(fault.to_string())).into()
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::plan_beside;
    use crate::authority::apply::claims::Claims;
    use crate::authority::apply::join::Unnamed;
    use crate::authority::apply::plan::{Way, plan};
    use crate::authority::apply::spool::Spool;
    use crate::model::entry::Entry;
    use crate::model::loss_guard::LossGuard;
    use crate::model::record::Record;
    use crate::model::table::ed25519;
    use crate::store::generation::{Damage, Generation, Options};

    fn key(id: u64, of: u64, more: &str) -> String {
        let key = ed25519(of);
        format!(r#"{{"kind":"key","id":{id},"user_id":1,"title":"t","key":"{key}","created_at":"2026-01-31T12:00:00Z"{more}}}"#)
    }

    fn standing() -> Vec<String> {
        let mut lines: Vec<String> = [
            r#"{"kind":"storage","name":"default","address":"unix:/g"}"#,
            r#"{"kind":"user","id":1,"username":"zoe","name":"Zoe"}"#,
            r#"{"kind":"user","id":2,"username":"ben","name":"Ben"}"#,
            r#"{"kind":"namespace","id":1,"type":"group","path":"a","name":"a"}"#,
            r#"{"kind":"project","id":1,"namespace_id":1,"path":"a/p","name":"p","relative_path":"p.git"}"#,
        ]
        .map(str::to_owned)
        .to_vec();
        lines.push(key(1, 1, ""));
        lines.push(key(2, 2, r#","deploy":true"#));
        lines
    }

    /// What both ways of planning say of a file: the counts and changes, or the refusal; `None` where the short way passes.
    fn both(lines: &[&str]) -> (Option<String>, String) {
        let folder = tempfile::tempdir().unwrap();
        let mut entries: Vec<Entry> = standing().iter().map(|line| Entry::of(Record::parse(line).unwrap()).unwrap()).collect();
        entries.sort_by(|one, other| one.place().cmp(other.place()));
        let options = Options { page_cache: 1 << 20, record_cache: 100 };
        let directory = Generation::load::<Damage>(&folder.path().join("g"), &options, entries.into_iter().map(Ok)).unwrap();
        let spooled = || {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(lines.join("\n").as_bytes()).unwrap();
            file.rewind().unwrap();
            let mut claims = Claims::default();
            (Spool::read(file, folder.path(), &mut claims).unwrap(), claims)
        };
        let spell = |plan: crate::authority::apply::plan::Plan| {
            let Way::Commit(changes) = plan.way else { return "replaced".to_owned() };
            let all = plan.outcome.all();
            format!("{} added, {} changed, {} unchanged: {changes:?}", all.added, all.changed, all.unchanged)
        };
        let (spool, claims) = spooled();
        let short = match plan_beside(&directory, &spool, &claims, Unnamed::Stays) {
            Ok(found) => found.map(spell),
            Err(refusal) => Some(refusal.text),
        };
        let (spool, mut claims) = spooled();
        let long = plan(&directory, &spool, &mut claims, Unnamed::Stays, LossGuard::default()).map_or_else(|refusal| refusal.text, spell);
        (short, long)
    }

    #[test]
    fn a_small_file_is_judged_as_the_walk_judges_it() {
        let zoe_is_ben = r#"{"kind":"user","id":1,"username":"ben","name":"Zoe"}"#;
        let ben_is_zoe = r#"{"kind":"user","id":2,"username":"Zoe","name":"Ben"}"#;
        let files: Vec<Vec<&str>> = vec![
            vec![],
            vec![r#"{"kind":"member","project_id":1,"user_id":2,"access_level":30}"#],
            vec![r#"{"kind":"member","project_id":9,"user_id":2,"access_level":30}"#],
            vec![r#"{"kind":"user","id":1,"username":"zoe","name":"Zoe"}"#],
            vec![r#"{"kind":"user","id":1,"username":"zoe","name":"Zoe Z"}"#],
            vec![r#"{"kind":"user","id":3,"username":"BEN","name":"B"}"#],
            vec![zoe_is_ben],
            vec![zoe_is_ben, ben_is_zoe],
            vec![r#"{"kind":"namespace","id":2,"type":"group","path":"A/P","name":"p"}"#],
            vec![r#"{"kind":"project","id":2,"namespace_id":1,"path":"a","name":"p","relative_path":"q.git"}"#],
            vec![r#"{"kind":"deploy_grant","key_id":2,"project_id":1}"#],
            vec![r#"{"kind":"deploy_grant","key_id":1,"project_id":1}"#],
            vec![
                r#"{"kind":"user","id":4,"username":"new","name":"N"}"#,
                r#"{"kind":"member","namespace_id":1,"user_id":4,"access_level":50}"#,
            ],
        ];
        for lines in files {
            let (short, long) = both(&lines);
            assert_eq!(short, Some(long), "{lines:?}");
        }
        let (same, other) = (key(1, 1, ""), key(3, 3, ""));
        let (short, long) = both(&[&same, &other]);
        assert_eq!(short, Some(long));
    }

    #[test]
    fn a_key_that_takes_anothers_place_is_left_to_the_walk() {
        for line in [key(1, 3, ""), key(5, 1, ""), key(2, 2, "")] {
            assert_eq!(both(&[&line]).0, None, "{line}");
        }
    }
}
