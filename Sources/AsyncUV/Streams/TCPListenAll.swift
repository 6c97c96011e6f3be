internal import UVCore

extension TCPListener {
    /// Listens at several addresses, with one listener each; at all of them, or at none.
    ///
    /// - Parameter addresses: at least one; the same one twice counts once. Port 0 is any free one, the same for all that ask for it.
    /// - Throws: as ``listen(at:backlog:reusePort:on:file:line:)->TCPListener``, for the first address that fails; `.invalidAddress` without addresses.
    public static func listen(
        at addresses: [SocketAddress], backlog: Int = defaultBacklog, reusePort: Bool = false, on loop: EventLoop? = nil,
        file: String = #fileID, line: Int = #line
    ) throws -> [TCPListener] {
        try listen(at: addresses, skipsUnusable: false) { try listen(at: $0, backlog: backlog, reusePort: reusePort, on: loop, file: file, line: line) }
    }

    /// - Parameter skipsUnusable: addresses that this machine does not have are left out, as long as there are others.
    static func listen(
        at addresses: [SocketAddress], skipsUnusable: Bool, _ listen: (SocketAddress) throws -> TCPListener
    ) throws -> [TCPListener] {
        var wanted: [SocketAddress] = []
        for address in addresses where !wanted.contains(address) { wanted.append(address) }
        if wanted.isEmpty { throw LoopError(.invalidAddress, "listen", "there is no address to listen at") }
        var attempts = 0
        while true {
            attempts += 1
            var listeners: [TCPListener] = []
            var port: Int?
            var unusable: LoopError?
            do {
                for address in wanted {
                    let isOpen = address.port == 0
                    let address = if isOpen, let port { try SocketAddress(bytes: address.bytes, port: port, zone: address.zone) } else { address }
                    do {
                        let listener = try listen(address)
                        listeners.append(listener)
                        if isOpen { port = listener.address.port }
                    } catch let error as LoopError where skipsUnusable && UVError.unusableAddress.contains(-(error.systemCode ?? 0)) {
                        unusable = error
                    }
                }
                if listeners.isEmpty, let unusable { throw unusable }
                return listeners
            } catch {
                for listener in listeners { listener.close() }
                // The port that was free at one address is taken at another: the next one may be free at all.
                let isTaken = (error as? LoopError)?.systemCode == -UVError.addressInUse("bind").code
                guard isTaken, port != nil, attempts < EventLoop.maximumPortAttempts else { throw error }
            }
        }
    }
}

extension EventLoop {
    /// So many free ports are tried until one is free at all addresses.
    static let maximumPortAttempts = 16
}
