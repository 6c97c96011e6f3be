/// Looks names up. A loop's is ``EventLoop/resolver``; ``SystemResolver`` unless another is put in its place.
///
/// Called on the loop's thread by a LoopTask, or a stand-in for one; the methods run there, and may use all that a LoopTask may. Whoever cancels that task expects
/// them to end soon: with the library's own waits, and with `LoopTask.foreign`, they do.
public protocol Resolver: AnyObject, Sendable {
    /// The addresses of a host. Those of other families than the query's, and doubles, are taken out by the caller; their order is kept.
    ///
    /// Digits and `localhost` are not asked for, unless the port is given by a service's name.
    /// - Throws: `LoopError` `.nameNotFound` if there are none; `.temporaryFailure` if that could not be found out now.
    func addresses(for query: HostQuery) async throws -> HostAnswer

    /// The name of an address; its port does not matter.
    ///
    /// - Throws: as ``addresses(for:)``.
    func hostName(of address: SocketAddress) async throws -> String
}

/// What a ``Resolver`` has found out.
public struct HostAnswer: Hashable, Sendable {
    /// The one to try first stands first.
    public var addresses: [SocketAddress]
    /// The name that the host's other names stand for, if it was asked for.
    public var canonicalName: String?

    public init(addresses: [SocketAddress], canonicalName: String? = nil) {
        self.addresses = addresses
        self.canonicalName = canonicalName
    }
}
