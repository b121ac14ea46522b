"""What the phantom is made of: one label a tissue, its HU and how uneven it is."""

from __future__ import annotations

from enum import IntEnum


class Tissue(IntEnum):
    """Labels of the phantom; later ones are not painted over earlier ones by value."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    VISCERAL_FAT = 4
    LUNG_RIGHT = 5
    LUNG_LEFT = 6
    LUNG_VESSEL_RIGHT = 7
    LUNG_VESSEL_LEFT = 8
    AIRWAY = 9
    MYOCARDIUM = 10
    HEART_CAVITY = 11
    AORTA = 12
    VEIN = 13
    PULMONARY_ARTERY = 14
    ESOPHAGUS = 15
    LIVER = 16
    LIVER_VESSEL = 17
    GALLBLADDER = 18
    SPLEEN = 19
    STOMACH_WALL = 20
    STOMACH_CONTENT = 21
    STOMACH_GAS = 22
    KIDNEY_RIGHT_CORTEX = 23
    KIDNEY_RIGHT_MEDULLA = 24
    KIDNEY_LEFT_CORTEX = 25
    KIDNEY_LEFT_MEDULLA = 26
    RENAL_SINUS = 27
    PANCREAS = 28
    BOWEL_WALL = 29
    BOWEL_CONTENT = 30
    BOWEL_GAS = 31
    PSOAS = 32
    BONE_CORTEX = 33
    BONE_MARROW = 34
    DISC = 35
    SPINAL_CANAL = 36
    SPINAL_CORD = 37
    CARTILAGE = 38
    TABLE_SHELL = 39
    TABLE_CORE = 40


TISSUE_HU: dict[Tissue, tuple[float, float]] = {
    # mean HU, standard deviation of slow unevenness in HU
    Tissue.AIR: (-1000, 0),
    Tissue.SKIN: (20, 5),
    Tissue.FAT: (-105, 6),
    Tissue.MUSCLE: (56, 18),
    Tissue.VISCERAL_FAT: (-98, 9),
    Tissue.LUNG_RIGHT: (-850, 26),
    Tissue.LUNG_LEFT: (-850, 26),
    Tissue.LUNG_VESSEL_RIGHT: (60, 20),
    Tissue.LUNG_VESSEL_LEFT: (60, 20),
    Tissue.AIRWAY: (-990, 0),
    Tissue.MYOCARDIUM: (105, 8),
    Tissue.HEART_CAVITY: (158, 6),
    Tissue.AORTA: (165, 3),
    Tissue.VEIN: (148, 6),
    Tissue.PULMONARY_ARTERY: (150, 5),
    Tissue.ESOPHAGUS: (42, 6),
    Tissue.LIVER: (112, 6),
    Tissue.LIVER_VESSEL: (166, 6),
    Tissue.GALLBLADDER: (8, 3),
    Tissue.SPLEEN: (124, 5),
    Tissue.STOMACH_WALL: (70, 8),
    Tissue.STOMACH_CONTENT: (24, 10),
    Tissue.STOMACH_GAS: (-960, 5),
    Tissue.KIDNEY_RIGHT_CORTEX: (188, 8),
    Tissue.KIDNEY_RIGHT_MEDULLA: (160, 8),
    Tissue.KIDNEY_LEFT_CORTEX: (188, 8),
    Tissue.KIDNEY_LEFT_MEDULLA: (160, 8),
    Tissue.RENAL_SINUS: (-30, 25),
    Tissue.PANCREAS: (88, 14),
    Tissue.BOWEL_WALL: (72, 10),
    Tissue.BOWEL_CONTENT: (30, 22),
    Tissue.BOWEL_GAS: (-820, 60),
    Tissue.PSOAS: (62, 8),
    Tissue.BONE_CORTEX: (540, 120),
    Tissue.BONE_MARROW: (190, 35),
    Tissue.DISC: (92, 8),
    Tissue.SPINAL_CANAL: (16, 4),
    Tissue.SPINAL_CORD: (42, 3),
    Tissue.CARTILAGE: (115, 20),
    Tissue.TABLE_SHELL: (-40, 10),
    Tissue.TABLE_CORE: (-940, 5),
}
