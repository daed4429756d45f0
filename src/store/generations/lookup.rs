//! Lookups in a generation: from the cache, or from the pages and then cached.
//!
//! That a record does not exist is not cached, so that lookups of what is not there cannot push out what is looked up often;
//! except for memberships, grants and lists of shares, where most lookups on the way up from a project find nothing.
//!
//! A record with a field that breaks its grammar is not found, except by [`Generation::entry`] and the other reads past the cache, which
//! are for changing the directory.

use std::sync::Arc;

use crate::model::directory::{Container, Directory, DirectoryError, LookupResult};
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{
    Agent, DeployGrant, ErrorTrackingKey, Key, Member, Namespace, Project, ProtectedBranch, ProtectedTag, Record, Redirect, Settings,
    Share, Snippet, Storage, User,
};
use crate::model::record_grammar::is_answerable;
use crate::model::record_identity::RecordIdentity;
use crate::model::repository_place::RepositoryPlace;
use crate::model::sort_key::SortKey;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::generations::record_cache::{CachedKind, CachedRecord, RecordCacheKey};
use crate::store::pages::index::{IndexKey, index_keys};
use crate::store::pages::page_map::{PageMap, for_each_item};
use crate::store::pages::stored_record::{StoredRecord, parse_entry};

/// How often an index entry is followed again when it leads to another record, because a commit came in between; then it is damage.
const MAX_INDEX_READS: usize = 8;

impl Generation {
    /// Reads the record with this identity.
    pub fn entry(&self, identity: &RecordIdentity) -> Result<Option<Entry>, StoreError> {
        match identity {
            RecordIdentity::Other(sort_key, _) => self.load_entry(sort_key),
            RecordIdentity::Key(id) => self.load_entry_by_index(&IndexKey::by_key_id(*id)),
        }
    }

    /// Returns the grants of a deploy key.
    pub fn deploy_grants(&self, key: Id) -> Result<Vec<Arc<DeployGrant>>, StoreError> {
        self.records_with_prefix(SortKey::deploy_grants_prefix(key))
    }

    /// Returns the agent with this id.
    pub fn agent(&self, id: Id) -> Result<Option<Arc<Agent>>, StoreError> {
        self.record(SortKey::agent(id))
    }

    /// Returns the agent with this SHA-256 of its token, 64 lower-case hex digits.
    pub fn agent_by_token_hash(&self, token_sha256: &str) -> Result<Option<Arc<Agent>>, StoreError> {
        self.record_by_index(IndexKey::by_agent_token(token_sha256))
    }

    /// Returns a client key of a project's error tracking.
    pub fn error_tracking_key(&self, project: Id, public_key: &str) -> Result<Option<Arc<ErrorTrackingKey>>, StoreError> {
        self.record(SortKey::error_tracking_key(project, public_key))
    }

    /// Returns the record with this sort key.
    pub fn record<T: CachedKind>(&self, sort_key: SortKey) -> Result<Option<Arc<T>>, StoreError> {
        self.cached_record(RecordCacheKey::Record(sort_key.clone()), || Ok(self.load_entry(&sort_key)?.as_ref().and_then(to_cached)))
    }

    /// As [`Generation::record`], and caches that there is none.
    fn record_caching_absence<T: CachedKind>(&self, sort_key: SortKey) -> Result<Option<Arc<T>>, StoreError> {
        self.cached_record(RecordCacheKey::Record(sort_key.clone()), || {
            Ok(Some(self.load_entry(&sort_key)?.as_ref().and_then(to_cached).unwrap_or(CachedRecord::Absent)))
        })
    }

    /// Returns the record with this index key.
    pub fn record_by_index<T: CachedKind>(&self, name: IndexKey) -> Result<Option<Arc<T>>, StoreError> {
        self.cached_record(RecordCacheKey::Index(name.clone()), || Ok(self.load_entry_by_index(&name)?.as_ref().and_then(to_cached)))
    }

    /// Returns all records whose sort keys begin with `prefix`.
    pub fn records_with_prefix<T: CachedKind>(&self, prefix: SortKey) -> Result<Vec<Arc<T>>, StoreError> {
        let cache_key = RecordCacheKey::Prefix(prefix.clone());
        if let Some(CachedRecord::List(found)) = self.record_cache().get(&cache_key) {
            return Ok(found.iter().filter_map(T::from_cached).collect());
        }
        let version = self.record_cache().current_version();
        let mut found = Vec::new();
        for_each_item(self.database(), PageMap::Records, prefix.as_bytes(), |sort_key, value| {
            let has_prefix = sort_key.starts_with(prefix.as_bytes());
            if has_prefix {
                found.extend(to_cached(&parse_entry(StoredRecord::decode(value)?.text)?));
            }
            Ok(has_prefix)
        })?;
        let records = found.iter().filter_map(T::from_cached).collect();
        self.record_cache().insert_if_current(version, cache_key, CachedRecord::List(found.into()));
        Ok(records)
    }

    /// Reads the record with this index key, bypassing the cache. Index and record are read one after the other, so a commit in
    /// between is detected by checking that the record still has the index key.
    pub fn load_entry_by_index(&self, name: &IndexKey) -> Result<Option<Entry>, StoreError> {
        for _ in 0..MAX_INDEX_READS {
            let Some(sort_key) = self.find_in_index(name)? else { return Ok(None) };
            let entry = self.load_entry(&sort_key)?;
            let has_name = |entry: &Entry| entry.record().is_some_and(|record| index_keys(record).contains(name));
            if entry.as_ref().is_some_and(has_name) {
                return Ok(entry);
            }
        }
        Err(StoreError("the index leads to a record that is not there".to_owned()))
    }

    /// Returns the cached result of a lookup, or what `read` reads and then is cached.
    pub(in crate::store) fn cached_record<T: CachedKind>(
        &self,
        cache_key: RecordCacheKey,
        read: impl FnOnce() -> Result<Option<CachedRecord>, StoreError>,
    ) -> Result<Option<Arc<T>>, StoreError> {
        if let Some(cached) = self.record_cache().get(&cache_key) {
            return Ok(T::from_cached(&cached));
        }
        let version = self.record_cache().current_version();
        let Some(cached) = read()? else { return Ok(None) };
        let found = T::from_cached(&cached);
        self.record_cache().insert_if_current(version, cache_key, cached);
        Ok(found)
    }

    fn count_index_entries(&self, name: &IndexKey) -> Result<u64, StoreError> {
        let mut count = 0;
        for_each_item(self.database(), PageMap::Index, name.prefix(), |entry, _| {
            let named = entry.starts_with(name.prefix());
            count += u64::from(named);
            Ok(named)
        })?;
        Ok(count)
    }
}

/// Returns what is answered from a record; nothing, if a field of it breaks its grammar.
fn to_cached(entry: &Entry) -> Option<CachedRecord> {
    entry.record().filter(|record| is_answerable(record)).map(|record| CachedRecord::from_record(record))
}

/// The settings of a directory without a settings record.
fn default_settings() -> Result<Arc<Settings>, StoreError> {
    match Record::parse(r#"{"kind":"settings"}"#) {
        Ok(Record::Settings(settings)) => Ok(Arc::new(settings)),
        _ => Err(StoreError("the settings have no defaults".to_owned())),
    }
}

impl Directory for Generation {
    fn version(&self) -> Option<u64> {
        self.record_cache().current_version().between_changes()
    }

    fn is_path_unanswered(&self, path: &str) -> Result<bool, DirectoryError> {
        for index_key in [IndexKey::by_namespace_path(path), IndexKey::by_project_path(path)] {
            let entry = self.load_entry_by_index(&index_key)?;
            if entry.as_ref().and_then(Entry::record).is_some_and(|record| !is_answerable(record)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_shared_repository(&self, place: &RepositoryPlace<'_>) -> Result<bool, DirectoryError> {
        Ok(self.shared_repositories().contains(place))
    }

    fn settings(&self) -> Result<Arc<Settings>, DirectoryError> {
        let read = || match self.load_entry(&SortKey::settings())? {
            Some(entry) => Ok(to_cached(&entry)),
            None => Ok(Some(CachedRecord::Settings(default_settings()?))),
        };
        self.cached_record(RecordCacheKey::Record(SortKey::settings()), read)?
            .ok_or_else(|| DirectoryError("the settings are not understood".to_owned()))
    }

    fn storage(&self, name: &str) -> LookupResult<Storage> {
        Ok(self.record(SortKey::storage(name))?)
    }

    fn user(&self, id: Id) -> LookupResult<User> {
        Ok(self.record(SortKey::user(id))?)
    }

    fn user_by_username(&self, username: &str) -> LookupResult<User> {
        Ok(self.record_by_index(IndexKey::by_username(username))?)
    }

    fn key(&self, id: Id) -> LookupResult<Key> {
        Ok(self.record_by_index(IndexKey::by_key_id(id))?)
    }

    fn key_by_fingerprint(&self, fingerprint: &Fingerprint) -> LookupResult<Key> {
        Ok(self.record(SortKey::key(fingerprint))?)
    }

    fn namespace(&self, id: Id) -> LookupResult<Namespace> {
        Ok(self.record(SortKey::namespace(id))?)
    }

    fn namespace_by_path(&self, path: &str) -> LookupResult<Namespace> {
        Ok(self.record_by_index(IndexKey::by_namespace_path(path))?)
    }

    fn project(&self, id: Id) -> LookupResult<Project> {
        Ok(self.record(SortKey::project(id))?)
    }

    fn project_by_path(&self, path: &str) -> LookupResult<Project> {
        Ok(self.record_by_index(IndexKey::by_project_path(path))?)
    }

    fn project_by_former_path(&self, path: &str) -> LookupResult<Project> {
        match self.record::<Redirect>(SortKey::redirect(path))? {
            Some(redirect) => self.project(redirect.project_id),
            None => Ok(None),
        }
    }

    fn snippet(&self, id: Id) -> LookupResult<Snippet> {
        Ok(self.record(SortKey::snippet(id))?)
    }

    fn member(&self, container: Container, user: Id) -> LookupResult<Member> {
        Ok(self.record_caching_absence(SortKey::member(container, user))?)
    }

    fn shares(&self, container: Container) -> Result<Vec<Arc<Share>>, DirectoryError> {
        Ok(self.records_with_prefix(SortKey::shares_prefix(container))?)
    }

    fn deploy_grant(&self, key: Id, project: Id) -> LookupResult<DeployGrant> {
        Ok(self.record_caching_absence(SortKey::deploy_grant(key, project))?)
    }

    fn protected_branches(&self, project: Id) -> Result<Vec<Arc<ProtectedBranch>>, DirectoryError> {
        Ok(self.records_with_prefix(SortKey::protected_branches_prefix(project))?)
    }

    fn protected_tags(&self, project: Id) -> Result<Vec<Arc<ProtectedTag>>, DirectoryError> {
        Ok(self.records_with_prefix(SortKey::protected_tags_prefix(project))?)
    }

    fn count_projects_in(&self, namespace: Id) -> Result<u64, DirectoryError> {
        Ok(self.count_index_entries(&IndexKey::by_parent_namespace(namespace))?)
    }
}
