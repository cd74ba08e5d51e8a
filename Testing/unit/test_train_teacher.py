from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from FetalEchoSegLib.networks.configuration import EchoCareConfig
from FetalEchoSegLib.networks.echocare import EchoCare
from FetalEchoTrainLib.teacher import Teacher, judging

SMALL = EchoCareConfig.tiny(image_size=64, embed_dim=8, decoder_features=4, depths=(0, 1, 1, 1), lora_rank=2)


def student(frozen=False):
    torch.manual_seed(0)
    network = EchoCare(SMALL).train()
    if frozen:
        network.freeze_encoder()
    return network


def move(network, amount=1.0):
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(amount)


def weight(network):
    return float(network.cls_decoder[0].bias.detach()[0])


def test_a_young_average_is_the_mean_of_all_students_so_far():
    network = student()
    teacher, seen = Teacher(network), []
    for _ in range(5):
        move(network)
        teacher.update()
        seen.append(weight(network))
        assert weight(teacher.network) == pytest.approx(sum(seen) / len(seen), abs=1e-5)


def test_an_old_average_moves_by_one_thousandth():
    network = student()
    teacher = Teacher(network, decay=0.9)
    teacher.updates = 10_000
    before = weight(teacher.network)
    move(network)
    teacher.update()
    assert weight(teacher.network) == pytest.approx(before + 0.1, abs=1e-5)


def test_what_the_student_does_not_train_is_shared_and_not_saved():
    network = student(frozen=True)
    teacher = Teacher(network)
    own = {id(p) for p in network.parameters() if not p.requires_grad}
    assert own == {id(p) for p in teacher.network.parameters()} & {id(p) for p in network.parameters()}
    trained = {n for n, p in network.named_parameters() if p.requires_grad}
    buffers = {n for n, _ in network.named_buffers()}
    assert set(teacher.state_dict()) == trained | buffers | {"updates"}


def test_buffers_follow_the_student():
    network = student()
    teacher = Teacher(network)
    name, buffer = next(iter(network.named_buffers()))
    buffer += 1
    teacher.update()
    assert torch.equal(dict(teacher.network.named_buffers())[name], buffer)


def test_the_teacher_judges_in_eval_mode_without_gradient():
    network = student()
    teacher = Teacher(network)
    move(network, 0.01)
    teacher.update()
    move(network)
    image = torch.rand(2, 1, 64, 64)
    output = teacher.predict(image)
    assert not output.segmentation.requires_grad
    assert not any(module.training for module in teacher.network.modules())
    assert output.features.shape == (2, 16, 8, 8)
    with torch.no_grad():
        assert not torch.allclose(output.segmentation, network(image).segmentation)


def test_without_average_the_student_judges_and_keeps_its_mode():
    network = student()
    network.fp_dropout.eval()  # one module in another mode than the rest
    teacher = Teacher(network, average=False)
    output = teacher.predict(torch.rand(1, 1, 64, 64))
    assert teacher.network is network
    assert not output.segmentation.requires_grad
    assert network.training
    assert not network.fp_dropout.training
    assert teacher.state_dict() == {}
    move(network)
    teacher.update()  # nothing to do


def test_a_saved_average_continues_exactly():
    network = student()
    teacher = Teacher(network)
    for _ in range(3):
        move(network, 0.3)
        teacher.update()
    again = Teacher(network)
    again.load_state_dict({name: tensor.clone() for name, tensor in teacher.state_dict().items()})
    for each in (teacher, again):
        each.update()
    assert again.updates == teacher.updates
    for ours, theirs in zip(again.network.parameters(), teacher.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_judging_restores_modes_after_an_error():
    network = student()

    def fail():
        with judging(network):
            assert not network.training
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert network.training
