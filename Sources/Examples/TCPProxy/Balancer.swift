import AsyncUV

/// Which backend a connection goes to: the one that has the fewest, and answered when it was last asked.
struct Balancer {
    struct Backend {
        let address: SocketAddress
        var connections = 0
        /// It did not answer: others come first until then.
        var downUntil: LoopInstant?
    }

    private(set) var backends: [Backend]
    private let penalty: Duration

    init(_ addresses: [SocketAddress], penalty: Duration = .seconds(5)) {
        backends = addresses.map { Backend(address: $0) }
        self.penalty = penalty
    }

    /// In the order in which they are to be tried: all of them, since a backend that was down may be back.
    func candidates(at now: LoopInstant) -> [Int] {
        backends.indices.sorted { left, right in
            let isLeftDown = backends[left].downUntil.map { $0 > now } ?? false, isRightDown = backends[right].downUntil.map { $0 > now } ?? false
            if isLeftDown != isRightDown { return isRightDown }
            return (backends[left].connections, left) < (backends[right].connections, right)
        }
    }

    mutating func connected(_ index: Int) {
        backends[index].connections += 1
        backends[index].downUntil = nil
    }

    mutating func failed(_ index: Int, at now: LoopInstant) { backends[index].downUntil = now.advanced(by: penalty) }

    mutating func ended(_ index: Int) { backends[index].connections -= 1 }
}
