import AsyncUV
import Foundation

private func openDescriptors() -> Int {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? -1
}

/// What the epolls of this process watch.
private func watchedDescriptors() throws -> Int {
    var watched = 0
    for number in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
        guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(number)"), target.contains("eventpoll") else { continue }
        let text = try String(contentsOfFile: "/proc/self/fdinfo/\(number)", encoding: .utf8)
        watched += text.split(separator: "\n").count { $0.hasPrefix("tfd:") }
    }
    return watched
}

/// Connects to addresses that answer, refuse and are silent, cancelled at any moment, many at a time.
func cancelledConnects(_ count: Int) throws {
    try EventLoop.run {
        let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
        let gone = try TCPListener.listen(host: "127.0.0.1", port: 0)
        gone.close()
        let full = try TCPListener.listen(host: "127.0.0.1", port: 0, backlog: 0)
        var fillers: [TCPStream] = []
        while let filler = try? await withTimeout(.milliseconds(200), { try await TCPStream.connect(to: full.address) }) { fillers.append(filler) }
        let accepting = LoopTask {
            // Broken off, so that the ports can be used again at once.
            while true { try await listener.accept().abort() }
        }
        // The first connection makes libuv open a descriptor of its own.
        (try? await TCPStream.connect(to: listener.address))?.abort()
        for _ in 0..<1000 { try await LoopTask.yield() }
        let descriptors = openDescriptors(), watched = try watchedDescriptors()
        let made = Counter(), refused = Counter()
        var cancelled = 0, started = 0
        while started < count {
            var batch: [LoopTask<Void>] = []
            for _ in 0..<min(50, count - started) {
                let address = started % 4 == 3 ? full.address : started % 4 == 2 ? gone.address : listener.address
                started += 1
                batch.append(
                    LoopTask {
                        do {
                            let stream = try await TCPStream.connect(to: address)
                            made.count += 1
                            stream.abort()
                        } catch let error as LoopError where error.systemCode == ECONNREFUSED || error.systemCode == ECONNRESET {
                            // Reset: accepted and broken off, before this side has looked.
                            refused.count += 1
                        }
                    })
                if Int.random(in: 0..<4) == 0 { try await LoopTask.yield() }
                if Int.random(in: 0..<3) == 0 { batch.randomElement()?.cancel() }
            }
            for _ in 0..<Int.random(in: 0..<100) { try await LoopTask.yield() }
            for task in batch { task.cancel() }
            for task in batch {
                do { try await task.value } catch is CancelledError { cancelled += 1 }
            }
        }
        say("\(count) connects: \(cancelled) cancelled, \(made.count) made, \(refused.count) refused")
        if cancelled + made.count + refused.count != count || cancelled == 0 || made.count == 0 || refused.count == 0 { say("that is not all of each kind") }
        // What the backlog still holds is taken, and what closes is closed, within a few polls.
        for _ in 0..<100 where openDescriptors() != descriptors { try await LoopTask.sleep(for: .milliseconds(10)) }
        say("\(openDescriptors() - descriptors) descriptors and \(try watchedDescriptors() - watched) watchers left")
        accepting.cancel()
        _ = try? await accepting.value
        for filler in fillers { filler.abort() }
        listener.close()
        full.close()
    }
}
