"""What the phantom is made of: one label a tissue, its HU and how uneven it is."""

from __future__ import annotations

from enum import IntEnum


class Tissue(IntEnum):
    """Labels of the phantom, with mean HU and the standard deviation of slow unevenness in HU."""

    hu: float
    uneven_hu: float

    def __new__(cls, hu: float, uneven_hu: float) -> Tissue:
        """Give a tissue its place in the list as its number."""
        member = int.__new__(cls, len(cls.__members__))
        member._value_ = len(cls.__members__)
        member.hu, member.uneven_hu = hu, uneven_hu
        return member

    AIR = (-1000, 0)
    SKIN = (20, 5)
    FAT = (-105, 6)
    MUSCLE = (56, 18)
    VISCERAL_FAT = (-98, 9)
    LUNG_RIGHT = (-850, 26)
    LUNG_LEFT = (-850, 26)
    LUNG_VESSEL_RIGHT = (60, 20)
    LUNG_VESSEL_LEFT = (60, 20)
    AIRWAY = (-990, 0)
    MYOCARDIUM = (105, 8)
    HEART_CAVITY = (158, 6)
    AORTA = (165, 3)
    VEIN = (148, 6)
    PULMONARY_ARTERY = (150, 5)
    ESOPHAGUS = (42, 6)
    LIVER = (112, 6)
    LIVER_VESSEL = (166, 6)
    GALLBLADDER = (8, 3)
    SPLEEN = (124, 5)
    STOMACH_WALL = (70, 8)
    STOMACH_CONTENT = (24, 10)
    STOMACH_GAS = (-960, 5)
    KIDNEY_RIGHT_CORTEX = (188, 8)
    KIDNEY_RIGHT_MEDULLA = (160, 8)
    KIDNEY_LEFT_CORTEX = (188, 8)
    KIDNEY_LEFT_MEDULLA = (160, 8)
    RENAL_SINUS = (-30, 25)
    PANCREAS = (88, 14)
    BOWEL_WALL = (72, 10)
    BOWEL_CONTENT = (30, 22)
    BOWEL_GAS = (-820, 60)
    PSOAS = (62, 8)
    BONE_CORTEX = (540, 120)
    BONE_MARROW = (190, 35)
    DISC = (92, 8)
    SPINAL_CANAL = (16, 4)
    SPINAL_CORD = (42, 3)
    CARTILAGE = (115, 20)
    TABLE_SHELL = (-40, 10)
    TABLE_CORE = (-940, 5)
