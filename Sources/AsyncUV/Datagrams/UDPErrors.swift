internal import UVCore

extension UDPSocket {
    /// The most that fits into a datagram: 65,535 bytes of packet, less the headers.
    static func maximumPayload(isIPv6: Bool) -> Int { isIPv6 ? 65_527 : 65_507 }

    /// The address is that of the call which failed: the peer's, or the one that the socket was to be bound to.
    static func makeError(_ error: UVError, _ operation: String, local: SocketAddress?, peer: SocketAddress?) -> LoopError {
        let isConnecting = error.call == "connect"
        let address = isConnecting ? peer : local ?? peer
        let advice: String
        switch error.name {
        case "EADDRINUSE":
            advice =
                "another socket is bound there: end its program, or choose another port (0 for any free one); for several on one port see UDPOptions.reusesPort"
        case "EADDRNOTAVAIL":
            advice =
                isConnecting
                ? "no local port is free, or the address cannot be reached from the one that the socket is bound to"
                : "no interface of this machine has that address (0.0.0.0 and :: are all of them)"
        case "EACCES": advice = isConnecting ? "a broadcast address needs UDPOptions.allowsBroadcast" : "ports below 1024 need CAP_NET_BIND_SERVICE, or root"
        case "ENETUNREACH", "EHOSTUNREACH": advice = "there is no route to that address"
        case "EMFILE", "ENFILE": advice = "raise the limit of open descriptors (ulimit -n)"
        case "EAFNOSUPPORT": advice = "this machine has no \(address?.isIPv6 == true ? "IPv6" : "IPv4")"
        case "EINVAL": advice = address?.isLinkLocal == true && address?.zone == 0 ? "a link-local address needs its interface: fe80::1%eth0" : ""
        default: advice = ""
        }
        return systemError(error, operation, on: address.map { "\($0)" } ?? "", advice)
    }

    func sendError(_ error: UVError, _ address: SocketAddress?, _ size: Int) -> LoopError {
        let target = address ?? self.address
        let advice: String
        switch error.name {
        case "EMSGSIZE":
            advice = "a datagram of \(size) bytes; at most \(UDPSocket.maximumPayload(isIPv6: target.isIPv6)) fit into one, or as many as the way there takes"
        case "EACCES": advice = "a broadcast address needs UDPOptions.allowsBroadcast; otherwise a firewall does not permit it"
        case "EPERM": advice = "a firewall of this machine does not permit it"
        case "ENOBUFS", "ENOMEM": advice = "the system had no memory for it, again and again"
        case _ where target.isIPv6 != self.address.isIPv6:
            advice = "the socket at \(self.address) sends to \(self.address.isIPv6 ? "IPv6" : "IPv4") addresses only"
        case "ENETUNREACH", "EHOSTUNREACH": advice = "there is no route to that address"
        case "EINVAL": advice = target.isLinkLocal && target.zone == 0 ? "a link-local address needs its interface: fe80::1%eth0" : ""
        default: advice = ""
        }
        return UDPSocket.systemError(error, "send", on: "\(target)", advice)
    }

    /// About a datagram that was sent earlier.
    func undelivered(_ returned: ReturnedError, _ operation: String) -> LoopError {
        let destination = returned.destination.map { SocketAddress($0) } ?? peerAddress
        var detail = "a datagram sent earlier was not delivered: \(returned.error.message) (\(returned.error.name))"
        switch returned.error.name {
        case "ECONNREFUSED": detail += ", nobody receives there"
        case "EMSGSIZE": if let limit = returned.limit, limit > 0 { detail += ", the way there takes packets of \(limit) bytes" }
        default: break
        }
        if let reporter = returned.reporter?.host, reporter != destination?.host { detail += ", says \(reporter)" }
        return LoopError(.undelivered, operation, on: "\(destination ?? address)", detail, systemCode: -returned.error.code)
    }

    /// There is no connection that could be lost.
    static func systemError(_ error: UVError, _ operation: String, on subject: String, _ advice: String = "") -> LoopError {
        var result = LoopError(error, operation, on: subject, advice: advice)
        if result.code == .connectionLost { result.code = .system }
        return result
    }
}
