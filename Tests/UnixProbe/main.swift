// A program for the tests of Unix sockets and descriptors that need a process of their own: whose descriptors can be counted, or run out.
import AsyncUV
import Foundation
import UVCore

func say(_ text: String) {
    FileHandle.standardOutput.write(Data((text + "\n").utf8))
}

func openDescriptors() -> Int {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? -1
}

/// After the closes that were begun.
func settled() async throws -> Int {
    // With its first stream libuv opens a descriptor of its own, as a reserve, and keeps it.
    let (near, far) = try UnixStream.pair()
    near.abort()
    far.abort()
    for _ in 0..<10 { try await LoopTask.sleep(for: .milliseconds(1)) }
    return openDescriptors()
}

func openFile() throws -> OwnedDescriptor { OwnedDescriptor(owning: try Files.open("/proc/self/exe").release()) }

/// A thousand descriptors: taken, dropped, read past, left in the socket; and receivers that are cancelled.
func pass() async throws {
    let before = try await settled()
    var passed = 0
    do {
        let file = try openFile()
        for round in 0..<10 {
            let (near, far) = try UnixStream.pair(acceptsDescriptors: true)
            let sender = LoopTask {
                for _ in 0..<10 { try await near.send([1, 2, 3], descriptors: Array(repeating: file, count: 10)) }
                try near.closeWrite()
            }
            var arrived = 0
            while arrived < 30 {
                let receiving = LoopTask { try await far.receive() }
                if arrived % 2 == 1 {
                    try await LoopTask.yield()
                    receiving.cancel()
                }
                do {
                    guard let arrival = try await receiving.value else { break }
                    arrived += arrival.bytes.count
                    // Half of the rounds leave the rest to others: unread here, or in the socket.
                    if round % 2 == 1 && arrived > 15 { break }
                } catch is CancelledError {
                    arrived += try await far.read(exactly: 1).count
                }
            }
            try await sender.value
            passed += 100
            near.abort()
            far.abort()
        }
    }
    say("passed \(passed), \(try await settled() - before) descriptors left")
}

/// Descriptors arrive, and there are no numbers for them.
func full() async throws {
    let before = try await settled()
    do {
        let file = try openFile()
        let (near, far) = try UnixStream.pair(acceptsDescriptors: true)
        var hoard: [Int32] = []
        while true {
            let number = dup(1)
            if number < 0 { break }
            hoard.append(number)
        }
        try await near.send([1, 2, 3], descriptors: Array(repeating: file, count: 10))
        if let arrival = try await far.receive() { say("received \(arrival.bytes.count) bytes, lost \(arrival.hasLostDescriptors)") }
        for number in hoard { close(number) }
        try await near.send([1, 2, 3], descriptors: Array(repeating: file, count: 10))
        if let arrival = try await far.receive() {
            say("received \(arrival.bytes.count) bytes, \(arrival.descriptors.count) descriptors, lost \(arrival.hasLostDescriptors)")
        }
        near.abort()
        far.abort()
    }
    say("\(try await settled() - before) descriptors left")
}

/// Opens and closes files of its own, whose numbers nobody else may close.
final class Canary: @unchecked Sendable {
    // Sendable: by its lock, and one thread at a time.
    private let lock = NSLock()
    private var isOver = false
    private var closedByOthers = 0
    private let ended = DispatchSemaphore(value: 0)

    func start() {
        Thread.detachNewThread { [self] in
            while !lock.withLock({ isOver }) { look() }
            ended.signal()
        }
    }

    private func look() {
        guard let file = try? Files.open("/dev/null"), let null = try? Descriptor.identity(of: file.number) else { return }
        for _ in 0..<20 {
            guard let now = try? Descriptor.identity(of: file.number), now.isSameFile(as: null) else {
                lock.withLock { closedByOthers += 1 }
                return
            }
        }
    }

    func end() -> Int {
        lock.withLock { isOver = true }
        ended.wait()
        return closedByOthers
    }
}

/// Adoptions that succeed, that fail, that are repeated, and closes that are repeated.
func once() async throws {
    let before = try await settled()
    let canary = Canary()
    canary.start()
    for round in 0..<2000 {
        switch try Sockets.unixPair() {
        case .pair(let near, let far):
            let near = OwnedDescriptor(owning: near.release())
            let far = OwnedDescriptor(owning: far.release())
            for _ in 0..<2 {
                do {
                    _ = try TCPStream(adopting: near)
                    say("adopted what does not fit")
                } catch is LoopError {}
            }
            let stream = try UnixStream(adopting: near, acceptsDescriptors: round % 2 == 0)
            near.close()
            do {
                _ = try UnixStream(adopting: near)
                say("adopted twice")
            } catch is LoopError {}
            far.close()
            far.close()
            if round % 3 == 0 { try await stream.close() } else { stream.abort() }
            near.close()
        }
    }
    let closed = canary.end()
    say("\(closed) of somebody else's were closed, \(try await settled() - before) descriptors left")
}

/// Who waits for a descriptor does not know that somebody closes it, and that its number belongs to another one.
func behind(_ loop: EventLoop) async throws {
    let before = try await settled()
    var waits = 0, wrong = 0
    for round in 0..<500 {
        guard case .pair(let first, let other) = try Sockets.unixPair() else { return }
        let number = first.release()
        while try Sockets.send(number, [UInt8](repeating: 0, count: 4096).span) > 0 {}
        let old = [LoopTask { try await loop.waitUntilReadable(number) }, LoopTask { try await loop.waitUntilWritable(number) }]
        // Closed before the system has been told to watch, or after.
        for _ in 0..<(round % 2 == 0 ? 10 : 1) { try await LoopTask.yield() }
        close(number)
        guard case .pair(let second, let peer) = try Sockets.unixPair() else { return }
        let new = second.release()
        let next = [LoopTask { try await loop.waitUntilReadable(new) }, LoopTask { try await loop.waitUntilWritable(new) }]
        _ = try Sockets.send(peer.number, [1].span)
        for task in next { try await withTimeout(.seconds(10)) { try await task.value } }
        for task in old {
            if task.isDone {
                do {
                    try await task.value
                    wrong += 1
                } catch let error as LoopError where error.code == .closed {}
            } else {
                task.cancel()
                do { try await task.value } catch is CancelledError {}
            }
        }
        waits += 4
        close(new)
        withExtendedLifetime(other) {}
    }
    say("\(waits) waits, \(wrong) for the wrong file, \(try await settled() - before) descriptors left")
}

/// Started by somebody who has opened its sockets.
func activated() async throws {
    let passed = try SocketActivation.descriptors()
    for one in passed {
        let number = one.descriptor.fileNumber ?? -1
        // In octal: 02000000 is O_CLOEXEC.
        let flags = try String(contentsOfFile: "/proc/self/fdinfo/\(number)", encoding: .utf8).split(separator: "\n").first { $0.hasPrefix("flags") } ?? ""
        say("\(one.name) \(number), closed on exec \(flags.suffix(7).hasPrefix("2"))")
    }
    let left = ProcessInfo.processInfo.environment.keys.count { $0.hasPrefix("LISTEN_") }
    say("again: \(try SocketActivation.descriptors().count), variables left: \(left)")
    let listener = try UnixListener(adopting: passed[0].descriptor)
    passed[1].descriptor.close()
    let stream = try await listener.accept()
    while let bytes = try await stream.read() { try await stream.write(bytes) }
    try await stream.close()
    listener.close()
    say("served")
}

let mode = CommandLine.arguments.dropFirst().first ?? ""
do {
    try EventLoop.run {
        guard let loop = EventLoop.current else { return }
        loop.setReportHandler { say("report: \($0)") }
        switch mode {
        case "pass": try await pass()
        case "full": try await full()
        case "once": try await once()
        case "behind": try await behind(loop)
        default: try await activated()
        }
    }
} catch {
    say("failed: \(error)")
    exit(1)
}
