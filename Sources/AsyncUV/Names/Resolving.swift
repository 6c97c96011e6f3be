extension EventLoop {
    /// Looks up a host's addresses, by the loop's ``resolver`` or the one given. For most, ``SocketAddress/resolve(host:port:family:using:on:)`` is shorter.
    ///
    /// Addresses in digits and `localhost` ask nobody, and do not suspend.
    /// - Returns: at least one address, none of them twice, all of the family that was asked for; the one to try first stands first.
    /// - Cancellation: throws in the next turn. A look-up that runs may go on unseen: see ``SystemResolver``.
    /// - Throws: `LoopError` `.nameNotFound`, `.temporaryFailure`, `.queueFull`, `.system`; what another resolver throws.
    public func resolve(_ query: HostQuery, using resolver: (any Resolver)? = nil) async throws -> HostAnswer {
        var answer: HostAnswer
        if let own = query.ownAnswer {
            answer = own
        } else {
            guard callingTask != nil else {
                return try await bridged("resolve", on: self) { try await self.resolve(query, using: resolver) }
            }
            answer = try await (resolver ?? self.resolver).addresses(for: query)
        }
        var seen: Set<SocketAddress> = []
        answer.addresses.removeAll { !query.matches($0) || !seen.insert($0).inserted }
        if answer.addresses.isEmpty {
            let kind =
                switch query.family {
                case .any: ""
                case .ipv4: "IPv4 "
                case .ipv6: "IPv6 "
                }
            throw LoopError(.nameNotFound, "resolve", on: query.description, "it has no \(kind)address")
        }
        return answer
    }

    /// Looks up the name of an address, whose port does not matter.
    ///
    /// Whoever owns the address says what name it has: believe it only if the name leads back to the address.
    /// - Cancellation, Throws: as ``resolve(_:using:)``.
    public func hostName(of address: SocketAddress, using resolver: (any Resolver)? = nil) async throws -> String {
        guard callingTask != nil else {
            return try await bridged("resolve", on: self) { try await self.hostName(of: address, using: resolver) }
        }
        return try await (resolver ?? self.resolver).hostName(of: address)
    }
}

extension SocketAddress {
    /// The addresses of a host, with a port: to connect to, or to listen at each of them.
    ///
    /// - Parameters:
    ///   - host: a name, or an address in digits; `localhost` is `::1` and `127.0.0.1`.
    ///   - port: 0 to 65535.
    ///   - resolver: nil takes the loop's.
    ///   - loop: nil takes the caller's.
    /// - Returns: at least one, none twice; the one to try first stands first.
    /// - Cancellation: as ``EventLoop/resolve(_:using:)``.
    /// - Throws: as there; `LoopError` `.invalidAddress` for what cannot be a host, before anything is asked; `.misuse` where there is no event loop.
    public static func resolve(
        host: String, port: Int, family: HostQuery.Family = .any, using resolver: (any Resolver)? = nil, on loop: EventLoop? = nil
    ) async throws -> [SocketAddress] {
        let query = try HostQuery(host: host, port: port, family: family)
        guard let loop = loop ?? EventLoop.current else {
            return try await bridged("resolve") { try await resolve(host: host, port: port, family: family, using: resolver) }
        }
        return try await loop.resolve(query, using: resolver).addresses
    }
}
