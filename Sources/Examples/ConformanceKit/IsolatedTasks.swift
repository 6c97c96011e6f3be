// Says `unsafe` because the unowned executor is an unsafe type of Swift's own.
import AsyncUV

/// Isolation for the tasks of a program: a global actor on the loop that runs the program.
///
/// Every program has a loop of its own, and programs may run side by side on several threads. So the actor has no loop: it is on the one that the
/// task-local names, which the tasks of a program inherit.
@globalActor
actor ProgramActor {
    static let shared = ProgramActor()

    @TaskLocal static var loop: EventLoop?

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        guard let loop = ProgramActor.loop else { preconditionFailure("ProgramActor is used outside of a program") }
        return unsafe loop.unownedExecutor
    }
}
