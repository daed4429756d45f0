//! The messages of `CreateRepository`, with Gitaly's field numbers (`proto/repository.proto` and `proto/shared.proto`, the same from 15
//! to 18). They are written by hand, so that a build needs neither `protoc` nor Gitaly's files; a field that is not here is not sent.

/// A repository, by its storage and its path there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Repository {
    /// The name of the storage, as in Gitaly's own configuration.
    #[prost(string, tag = "2")]
    pub storage_name: String,
    /// The path on the storage.
    #[prost(string, tag = "3")]
    pub relative_path: String,
    /// `project-<id>` or `wiki-<id>`.
    #[prost(string, tag = "6")]
    pub gl_repository: String,
    /// The full path for people, in Gitaly's logs.
    #[prost(string, tag = "8")]
    pub gl_project_path: String,
}

/// The request. Its object format, 3, is left out: then Gitaly uses SHA-1.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateRepositoryRequest {
    /// The repository to create.
    #[prost(message, optional, tag = "1")]
    pub repository: Option<Repository>,
    /// The branch that its `HEAD` names, without `refs/heads/`.
    #[prost(bytes = "vec", tag = "2")]
    pub default_branch: Vec<u8>,
}

/// The response, which says nothing.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CreateRepositoryResponse {}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::{CreateRepositoryRequest, Repository};

    #[test]
    fn the_bytes_are_those_of_gitaly_s_protocol() {
        let text = str::to_owned;
        let repository = Repository {
            storage_name: text("s"),
            relative_path: text("r"),
            gl_repository: text("project-1"),
            gl_project_path: text("g/p"),
        };
        let request = CreateRepositoryRequest { repository: Some(repository), default_branch: b"main".to_vec() };
        // Tag and wire type of each field, its length, its bytes.
        let expected = b"\x0a\x16\x12\x01s\x1a\x01r\x32\x09project-1\x42\x03g/p\x12\x04main";
        assert_eq!(request.encode_to_vec(), expected);
    }
}
